// SPDX-License-Identifier: MIT
//
// torch.nn.utils.rnn: sequences of different lengths without their padding, and the ways between
// lists of sequences, padded batches and packed ones. Recurrent layers take and return a
// PackedSequence; whoever has no use for one gives them `lengths` instead, at the same cost.
//
//   sequences a b c, d e, f      padded (T, B, ·) or, with batch_first, (B, T, ·):  a b c
//   lengths 3, 2, 1                                                                 d e 0
//   packed  a d f b e c          batch_sizes 3, 2, 1                                f 0 0
//
// A sequence alone is an Eigen matrix: row-major T × features, or column-major features × T.
#pragma once

#include <algorithm>  // std::copy_n, std::fill_n, std::is_sorted, std::max
#include <numeric>    // std::accumulate
#include <optional>
#include <vector>

#include "recur/layers/matrix_views.hpp"
#include "recur/layers/schedule.hpp"

namespace recur::inline RECUR_ABI {

/// Sequences in order of falling length, step by step: all first elements, all second ones, …
/// Made by pack_padded_sequence and pack_sequence; fields as PyTorch's. A default-constructed one
/// means "left out" where a gradient is optional.
template <class Scalar_>
struct PackedSequence {
  using Scalar = Scalar_;

  RowMatrix<Scalar> data;             ///< (N × features), N the sum of the lengths
  std::vector<Index> batch_sizes;     ///< (T) sequences longer than t, falling
  std::vector<Index> sorted_indices;  ///< (B) the caller's number of each sequence; empty: 0, 1, …
  std::vector<Index> unsorted_indices;  ///< (B) the inverse; may be left out

  bool absent() const { return data.size() == 0 && batch_sizes.empty(); }
};

/// A padded batch, and how many steps of each of its sequences count.
template <class Scalar>
struct PaddedSequences {
  Tensor3<Scalar> data;
  std::vector<Index> lengths;
};

struct PackOptions {
  bool batch_first = false;
  bool enforce_sorted = true;  ///< false: the sequences may come in any order
};

struct PadOptions {
  bool batch_first = false;
  double padding_value = 0;
};

struct PadPackedOptions {
  bool batch_first = false;
  double padding_value = 0;
  std::optional<Index> total_length = std::nullopt;  ///< steps of the result; else the longest
};

/// The inverse: inverse[permutation[k]] = k. Overwrites `inverse`. Error unless `permutation` holds
/// each of 0 … size-1 once.
inline void invert_permutation(std::span<const Index> permutation, std::vector<Index>& inverse) {
  inverse.assign(permutation.size(), -1);
  for (std::size_t k = 0; k < permutation.size(); ++k) {
    const auto to = static_cast<std::size_t>(permutation[k]);
    check(to < inverse.size() && inverse[to] < 0, "sorted_indices[", k,
          "]: expected a permutation of 0 to ", static_cast<Index>(permutation.size()) - 1,
          ", got ", permutation[k]);
    inverse[to] = static_cast<Index>(k);
  }
}
inline std::vector<Index> invert_permutation(std::span<const Index> permutation) {
  std::vector<Index> inverse;
  invert_permutation(permutation, inverse);
  return inverse;
}

/// Throws unless the fields fit together: batch_sizes positive and falling, their sum the rows of
/// data; sorted_indices a permutation of the sequences, unsorted_indices its inverse.
template <class Scalar>
void check_packed_sequence(const PackedSequence<Scalar>& packed) {
  const auto& sizes = packed.batch_sizes;
  check(!sizes.empty(), "PackedSequence: batch_sizes: expected at least one, got none");
  for (std::size_t t = 0; t < sizes.size(); ++t) {
    check(sizes[t] > 0, "PackedSequence: batch_sizes[", t, "]: expected a positive number, got ",
          sizes[t]);
    check(t == 0 || sizes[t] <= sizes[t - 1], "PackedSequence: batch_sizes[", t,
          "]: expected at most the ", t > 0 ? sizes[t - 1] : 0, " before it, got ", sizes[t]);
  }
  check(sizes[0] <= packed.data.rows(), "PackedSequence: data: expected at least ", sizes[0],
        " rows, one for each sequence, got ", packed.data.rows());
  const Index sum = std::accumulate(sizes.begin(), sizes.end(), Index(0));
  check(sum == packed.data.rows(), "PackedSequence: data: expected ", sum,
        " rows, the sum of batch_sizes, got ", packed.data.rows());

  const auto& order = packed.sorted_indices;
  const auto& inverse = packed.unsorted_indices;
  if (order.empty() && inverse.empty()) {
    return;
  }
  check(static_cast<Index>(order.size()) == sizes[0], "PackedSequence: sorted_indices: expected ",
        sizes[0], " of them, one for each sequence, got ", order.size());
  if (inverse.empty()) {
    invert_permutation(order);
    return;
  }
  check(inverse.size() == order.size(), "PackedSequence: unsorted_indices: expected ", sizes[0],
        " of them, got ", inverse.size());
  for (std::size_t k = 0; k < order.size(); ++k) {
    const auto sequence = static_cast<std::size_t>(order[k]);
    check(sequence < inverse.size() && inverse[sequence] == static_cast<Index>(k),
          "PackedSequence: expected unsorted_indices to be the inverse of sorted_indices, a "
          "permutation of 0 to ",
          sizes[0] - 1, ", got sorted_indices[", k, "] = ", order[k]);
  }
}

/// How many steps each sequence has, in the caller's order. packed: as check_packed_sequence has
/// it.
template <class Scalar>
std::vector<Index> sequence_lengths(const PackedSequence<Scalar>& packed) {
  check_packed_sequence(packed);
  Schedule schedule;
  schedule.assign_packed(packed.batch_sizes, packed.sorted_indices);
  std::vector<Index> lengths(static_cast<std::size_t>(schedule.batch));
  for (Index row = 0; row < schedule.batch; ++row) {
    lengths[static_cast<std::size_t>(schedule.source(row))] = schedule.length(row);
  }
  return lengths;
}

namespace detail {

template <class V>
V time_major(V view, bool batch_first) {
  return batch_first ? view.transposed() : view;
}

// f(row of the packed data, step, the caller's sequence) for every element.
template <class Scalar, class F>
void for_each_packed_row(const PackedSequence<Scalar>& packed, F&& f) {
  Index row = 0;
  for (Index t = 0; t < static_cast<Index>(packed.batch_sizes.size()); ++t) {
    for (Index k = 0; k < packed.batch_sizes[static_cast<std::size_t>(t)]; ++k) {
      f(row++, t,
        packed.sorted_indices.empty() ? k : packed.sorted_indices[static_cast<std::size_t>(k)]);
    }
  }
}

// Overwrites the data of a PackedSequence whose other fields are set, from x (T, B, ·).
template <class Scalar>
void pack_rows(Tensor3View<const Scalar> x, PackedSequence<Scalar>& packed) {
  const auto& sizes = packed.batch_sizes;
  packed.data.resize(std::accumulate(sizes.begin(), sizes.end(), Index(0)), x.size(2));
  for_each_packed_row(packed, [&](Index row, Index t, Index sequence) {
    std::copy_n(x.row(t, sequence), x.size(2), packed.data.row(row).data());
  });
}

template <class Scalar>
Tensor3<Scalar> padded_tensor(Index steps, Index batch, Index features, bool batch_first,
                              double padding_value) {
  Tensor3<Scalar> padded = batch_first ? Tensor3<Scalar>(batch, steps, features)
                                       : Tensor3<Scalar>(steps, batch, features);
  std::fill_n(padded.data(), padded.size(), static_cast<Scalar>(padding_value));
  return padded;
}

}  // namespace detail

/// Packs the first lengths[b] steps of every sequence of a padded batch (T, B, ·) or (B, T, ·).
///
///     std::vector<recur::Index> lengths = {2, 1, 3};
///     auto packed = recur::pack_padded_sequence(x, lengths, {.enforce_sorted = false});
///     auto [output, state] = lstm.forward(packed);
///     auto [padded, same_lengths] = recur::pad_packed_sequence(output);
///
/// With enforce_sorted the lengths must fall (equal ones may follow each other). Without, sequences
/// of equal length stay in the caller's order; PyTorch promises no order there, and keeps the same
/// one up to 16 sequences. Errors, as PyTorch's: an empty batch, a length that is not positive,
/// a wrong number of lengths, a wrong order; and a length beyond the steps of the batch.
template <class Scalar>
PackedSequence<std::remove_const_t<Scalar>> pack_padded_sequence(Tensor3View<Scalar> x,
                                                                 const Lengths& lengths,
                                                                 const PackOptions& options = {}) {
  const Tensor3View<const std::remove_const_t<Scalar>> steps =
      detail::time_major(x, options.batch_first);
  const auto& values = lengths.values;
  check(steps.size() > 0, "Cannot pack empty tensors.");
  check(static_cast<Index>(values.size()) == steps.size(1),
        "Expected `len(lengths)` to be equal to batch_size, but got ", values.size(),
        " (batch_size=", steps.size(1), ")");
  check((options.enforce_sorted ? values.back() : *std::min_element(values.begin(), values.end())) >
            0,
        "Length of all samples has to be greater than 0, but found an element in 'lengths' that is "
        "<= 0");
  check(!options.enforce_sorted || std::is_sorted(values.rbegin(), values.rend()),
        "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can "
        "pass `enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this "
        "requirement if you do not need ONNX exportability.");
  check_lengths(values, steps.size(1), steps.size(0));

  Schedule schedule;
  schedule.assign(*std::max_element(values.begin(), values.end()), steps.size(1), values);
  PackedSequence<std::remove_const_t<Scalar>> packed;
  packed.batch_sizes = std::move(schedule.active);
  if (!options.enforce_sorted) {
    packed.sorted_indices = std::move(schedule.order);
    invert_permutation(packed.sorted_indices, packed.unsorted_indices);
  }
  detail::pack_rows(steps, packed);
  return packed;
}
template <class Scalar>
PackedSequence<Scalar> pack_padded_sequence(const Tensor3<Scalar>& x, const Lengths& lengths,
                                            const PackOptions& options = {}) {
  return pack_padded_sequence(x.view(), lengths, options);
}

/// The gradient by the padded batch, of `steps` steps: d_packed at its place, zeros at the padding.
template <class Scalar>
Tensor3<Scalar> pack_padded_sequence_backward(const PackedSequence<Scalar>& d_packed, Index steps,
                                              bool batch_first = false) {
  return pad_packed_sequence(d_packed, {.batch_first = batch_first, .total_length = steps}).data;
}

/// The padded batch of a packed one, sequences in the caller's order: (T, B, ·) or (B, T, ·), and
/// their lengths. Error when total_length is below the longest sequence.
template <class Scalar>
PaddedSequences<Scalar> pad_packed_sequence(const PackedSequence<Scalar>& packed,
                                            const PadPackedOptions& options = {}) {
  PaddedSequences<Scalar> padded{{}, sequence_lengths(packed)};
  const auto longest = static_cast<Index>(packed.batch_sizes.size());
  const Index steps = options.total_length.value_or(longest);
  check(steps >= longest,
        "Expected total_length to be at least the length of the longest sequence in input, but got "
        "total_length=",
        steps, " and max sequence length being ", longest);
  padded.data = detail::padded_tensor<Scalar>(steps, packed.batch_sizes[0], packed.data.cols(),
                                              options.batch_first, options.padding_value);
  const auto to = detail::time_major(padded.data.view(), options.batch_first);
  detail::for_each_packed_row(packed, [&](Index row, Index t, Index sequence) {
    std::copy_n(packed.data.row(row).data(), packed.data.cols(), to.row(t, sequence));
  });
  return padded;
}

/// The gradient by `packed`, whose data is not read: d_padded without its padding, in packed order.
/// d_padded: at least as long as the longest sequence.
template <class Scalar>
PackedSequence<std::remove_const_t<Scalar>> pad_packed_sequence_backward(
    Tensor3View<Scalar> d_padded, const PackedSequence<std::remove_const_t<Scalar>>& packed,
    bool batch_first = false) {
  check_packed_sequence(packed);
  const Tensor3View<const std::remove_const_t<Scalar>> steps =
      detail::time_major(d_padded, batch_first);
  const auto longest = static_cast<Index>(packed.batch_sizes.size());
  if (steps.size(0) < longest || steps.size(1) != packed.batch_sizes[0] ||
      steps.size(2) != packed.data.cols()) {
    fail("pad_packed_sequence_backward: d_padded: expected ",
         batch_first ? shape_string({packed.batch_sizes[0], longest, packed.data.cols()})
                     : shape_string({longest, packed.batch_sizes[0], packed.data.cols()}),
         " or more steps, got ", d_padded.shape());
  }
  PackedSequence<std::remove_const_t<Scalar>> d_packed{
      {}, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices};
  detail::pack_rows(steps, d_packed);
  return d_packed;
}
template <class Scalar>
PackedSequence<Scalar> pad_packed_sequence_backward(const Tensor3<Scalar>& d_padded,
                                                    const PackedSequence<Scalar>& packed,
                                                    bool batch_first = false) {
  return pad_packed_sequence_backward(d_padded.view(), packed, batch_first);
}

/// A padded batch (T, B, ·) or (B, T, ·) of sequences, T steps of the longest. Errors: no sequence,
/// sequences of different features.
template <class Matrix>
Tensor3<typename Matrix::Scalar> pad_sequence(const std::vector<Matrix>& sequences,
                                              const PadOptions& options = {}) {
  using Scalar = typename Matrix::Scalar;
  check(!sequences.empty(), "received an empty list of sequences");
  const Index features = layers::sequence_features(sequences[0]);
  Index longest = 0;
  for (std::size_t b = 0; b < sequences.size(); ++b) {
    check(layers::sequence_features(sequences[b]) == features, "sequences[", b, "]: expected ",
          features, " features, as those before it, got ", layers::sequence_features(sequences[b]));
    longest = std::max(longest, layers::sequence_steps(sequences[b]));
  }
  auto padded = detail::padded_tensor<Scalar>(longest, static_cast<Index>(sequences.size()),
                                              features, options.batch_first, options.padding_value);
  const auto to = detail::time_major(padded.view(), options.batch_first);
  for (std::size_t b = 0; b < sequences.size(); ++b) {
    const auto from = layers::matrix_view(sequences[b]);
    for (Index t = 0; t < from.size(0); ++t) {
      std::copy_n(from.row(t, 0), features, to.row(t, static_cast<Index>(b)));
    }
  }
  return padded;
}

/// The sequences of a padded batch, each T × features, lengths[b] steps of it.
template <class Scalar>
std::vector<RowMatrix<std::remove_const_t<Scalar>>> unpad_sequence(Tensor3View<Scalar> padded,
                                                                   const Lengths& lengths,
                                                                   bool batch_first = false) {
  const auto steps = detail::time_major(padded, batch_first);
  check_lengths(lengths.values, steps.size(1), steps.size(0));
  std::vector<RowMatrix<std::remove_const_t<Scalar>>> sequences;
  for (Index b = 0; b < steps.size(1); ++b) {
    const Index length = lengths.values[static_cast<std::size_t>(b)];
    sequences.emplace_back(steps.transposed()[b].topRows(length));
  }
  return sequences;
}
template <class Scalar>
std::vector<RowMatrix<Scalar>> unpad_sequence(const Tensor3<Scalar>& padded, const Lengths& lengths,
                                              bool batch_first = false) {
  return unpad_sequence(padded.view(), lengths, batch_first);
}

/// Packs a list of sequences; errors of pad_sequence and pack_padded_sequence.
template <class Matrix>
PackedSequence<typename Matrix::Scalar> pack_sequence(const std::vector<Matrix>& sequences,
                                                      bool enforce_sorted = true) {
  const auto padded = pad_sequence(sequences);
  std::vector<Index> lengths;
  for (const Matrix& sequence : sequences) {
    lengths.push_back(layers::sequence_steps(sequence));
  }
  return pack_padded_sequence(padded, lengths, {.enforce_sorted = enforce_sorted});
}

/// The sequences of a packed batch, in the caller's order, each T × features.
template <class Scalar>
std::vector<RowMatrix<Scalar>> unpack_sequence(const PackedSequence<Scalar>& packed) {
  const auto [padded, lengths] = pad_packed_sequence(packed);
  return unpad_sequence(padded, lengths);
}

}  // namespace recur::inline RECUR_ABI
