// SPDX-License-Identifier: MIT
//
// A training that is stopped and gone on with later, to the same bits as without the stop: models,
// optimisers, generators, counters and arrays in one safetensors file. A part named `part` is
//
//   model        part.<parameter>             its parameters, named as in a state_dict
//   optimiser    part.<moment>.<parameter>    exp_avg, exp_avg_sq, max_exp_avg_sq, momentum_buffer
//                part.step                    I64, of Adam and AdamW: steps made
//                part.options.<option>        lr, momentum, betas, …: F64 or BOOL
//                __metadata__: part           SGD, Adam or AdamW
//   generator    part.state                   U32 (624,): numbers of the Mersenne twister
//                part.given                   I64: how many of them were given out
//                part.normal                  F64 (0,) or (1,): a normal number that waits
//   state        part.h, part.c               of a recurrent layer
//   number       part                         BOOL, I64, U64 or F64, shape ()
//   list         part                         std::vector of numbers, shape (n,)
//   Tensor3, matrix, vector                   part
#pragma once

#include <filesystem>

#include "recur/io/checkpoint_reader.hpp"
#include "recur/io/checkpoint_writer.hpp"

namespace recur::inline RECUR_ABI {

/// Writes the parts of a training, names and parts by turns, as one file: whole or not at all, so
/// that a process that is killed leaves the last checkpoint or the new one.
///
///     recur::save_checkpoint("run.safetensors",
///                            "model", model, "optimizer", adam,
///                            "dropout", tape.generator, "order", recur::default_generator(),
///                            "epoch", epoch);
///
/// A part is a model (module or composite), an optimiser (of the last model named before it), a
/// Generator, a recurrent state, a number, a std::vector of numbers, a Tensor3, or a row-major
/// matrix or vector of Eigen. The model alone is read from the file by
/// load_state_dict(model, "run.safetensors", "model"). Throws recur::Error.
template <class... Parts>
void save_checkpoint(const std::filesystem::path& path, const Parts&... parts) {
  detail::CheckpointWriter writer;
  writer.add(static_cast<const void*>(nullptr), parts...);
  writer.save(path);
}

/// Overwrites the parts of a training with those of a file: the same names and kinds as it was
/// saved with. The training then goes on to the same bits as if it had not been stopped.
///
///     recur::load_checkpoint("run.safetensors",
///                            "model", model, "optimizer", adam,
///                            "dropout", tape.generator, "order", recur::default_generator(),
///                            "epoch", epoch);
///
/// An optimiser gets the options of the file, too, as torch's load_state_dict does. Lists, tensors
/// and matrices get the sizes of the file. Everything else has to fit: a name that is missing or
/// not asked for, another shape, another type (float for double: it would not be the same
/// training), another optimiser is a recur::Error, and then every part is as before.
template <class... Parts>
void load_checkpoint(const std::filesystem::path& path, Parts&... parts) {
  const TensorFile file = load_safetensors(path);
  detail::CheckpointReader(file).load(static_cast<void*>(nullptr), parts...);
}

}  // namespace recur::inline RECUR_ABI
