// SPDX-License-Identifier: MIT
//
// What a forward pass leaves behind for the backward pass (Tape), and memory whose contents never
// matter between calls (Workspace). Both can be used again and again: then nothing is allocated.
#pragma once

#include <vector>

#include "recur/cells/parameter_gradients.hpp"
#include "recur/core/random.hpp"
#include "recur/core/tensor.hpp"
#include "recur/layers/schedule.hpp"

namespace recur::inline RECUR_ABI {

/// Memory of a chunk of steps; backwards, of one group of sequences (backward_pass.hpp).
template <class Scalar>
struct ChunkMemory {
  std::vector<Tensor3<Scalar>> slots;  ///< D of (chunk, B, slots·H), those of a thread's sequences
                                       ///< together, or empty where they stand in h (RNN);
                                       ///< backwards, of (1, rows, slots·H and more: spread_row),
                                       ///< the running rows
  Tensor3<Scalar> between;             ///< gradients by the outputs between layers, one direction:
                                       ///< (chunk, sequences, output)
  std::vector<Tensor3<Scalar>> d_h_steps;  ///< D of (1, rows, output and more), cells with a
                                           ///< projection
  Tensor3<Scalar> d_x;                     ///< (1, rows, in), two directions
  std::vector<Index> places;               ///< of the rows in the tape, where lengths differ
  cells::PackedFactors<Scalar> packed;     ///< of the rows
};

/// Scratch memory of a call. One a thread; its contents never matter.
template <class Scalar>
struct Workspace {
  Schedule schedule;
  Tensor3<Scalar> input;                     ///< (T, B, I), when the caller's is not time-major
  Tensor3<Scalar> h[2];                      ///< (T+D, B, D·output), layers by turns
  Tensor3<Scalar> c;                         ///< (1, B, D·H), updated in place; rows padded
  std::vector<Tensor3<Scalar>> unprojected;  ///< D of (chunk, B, H)
  ChunkMemory<Scalar> chunks[2];             ///< backwards, of each group

  Tensor3<Scalar> d_output[2];  ///< (T, B, D·output), where the caller's rows stand otherwise;
                                ///< two directions: by the outputs between layers, by turns
  Tensor3<Scalar> d_x;          ///< (T, B, I), where the caller's is not time-major
  Tensor3<Scalar> d_h;          ///< (L·D, B, output), by the state between two steps; rows padded
  Tensor3<Scalar> d_c;          ///< (L·D, B, H), the same
  Tensor3<Scalar> d_unprojected;  ///< (D, B, H)
};

/// One layer of a Tape. Time step t stands at slot t + 1 of h and c: slot 0 holds the initial state
/// of the forward direction; the reverse direction's stands behind each sequence's last step. So
/// the state before step t is slot t (forward) or t + 2 (reverse), without exceptions.
template <class Scalar>
struct LayerTape {
  Tensor3<Scalar> input;  ///< (T, B, in): first layer, unless it was borrowed, and layers behind
                          ///< dropout; else empty
  Tensor3<Scalar> h;      ///< (T+D, B, D·output)
  Tensor3<Scalar> c;      ///< (T+D, B, D·H), cells that have one
  std::vector<Tensor3<Scalar>> slots;  ///< D of (T, B, slots·H): activated gates (math/cell.hpp),
                                       ///< or empty where backward does not read them (RNN)
  std::vector<Tensor3<Scalar>>
      unprojected;               ///< D of (T, B, H): h before the projection, where there is one
  Tensor3<Scalar> dropout_mask;  ///< (T, B, in): 0 or 1/(1-p), by which `input` was multiplied
};

/// Everything that backward needs of a forward pass, readable by the user. Memory in scalars: T·B·I
/// for the input, unless it is borrowed, and for each layer and direction
///
///   LSTM 6·T·B·H   GRU 5·T·B·H   RNN T·B·H
///
/// (and the initial states of h and c). A training step needs besides, for a chunk of at most 256
/// KB of slots or 288 rows, whichever is more: the gradients by its slots and by the outputs
/// between the layers, and a copy of its rows of the input or of h, about as much as fits into a
/// second-level cache. That is less than a tenth of the tape, as of 128 to 288 rows so many are
/// taken; more of short tapes (LSTM of one layer: T·B below 1,280), which chunks of fewer rows
/// would make slow, and of RNNs. With two directions and several layers the gradients between them
/// are of all steps, T·B·D·H, and twice that with three layers and more; with sequences of
/// different lengths, so is a copy of those by the output. Less memory, for a third more time:
/// segments.hpp.
template <class Scalar>
struct Tape {
  Schedule schedule;
  std::vector<LayerTape<Scalar>> layers;
  bool borrow_input = false;  ///< true: a time-major input without lengths is not copied; it must
                              ///< stay as it is until backward
  Tensor3View<const Scalar> borrowed;  ///< that input; else absent
  bool training = true;                ///< false: dropout is left out, as in module.eval()
  Generator generator;  ///< draws the dropout masks, one number for each element that counts;
                        ///< assign a Generator(seed), or the caller's own, to choose them
  Workspace<Scalar> workspace;  ///< scratch memory of forward and backward
};

}  // namespace recur::inline RECUR_ABI
