// SPDX-License-Identifier: MIT
//
// Packing and padding: what PyTorch's own tests of torch.nn.utils.rnn expect. Layers on packed
// sequences: calls_test.cpp and packed_golden_test.cpp.
#include "recur/layers/packed_sequence.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "support/compare.hpp"
#include "support/random.hpp"

namespace packed_sequence_test {
namespace {

using recur::Index;
using recur::PackedSequence;
using recur::RowMatrix;
using recur::Tensor3;
using recur::test::expect_same;
using recur::test::random_matrix;
using recur::test::random_tensor;
using Indices = std::vector<Index>;
using Sequences = std::vector<RowMatrix<double>>;

// One feature a step.
RowMatrix<double> sequence(const std::vector<double>& values) {
  RowMatrix<double> matrix(static_cast<Index>(values.size()), 1);
  std::copy(values.begin(), values.end(), matrix.data());
  return matrix;
}
std::vector<double> values_of(const RowMatrix<double>& matrix) {
  return {matrix.data(), matrix.data() + matrix.size()};
}
std::vector<double> values_of(const Tensor3<double>& tensor) {
  return {tensor.data(), tensor.data() + tensor.size()};
}

const RowMatrix<double> a = sequence({1, 2, 3});
const RowMatrix<double> b = sequence({4, 5});
const RowMatrix<double> c = sequence({6});

// Sequences of 1, 4, 9, … 81 steps in a random order, or the longest first.
Sequences squares(recur::Generator& generator, bool shuffled) {
  Sequences sequences;
  for (Index k : generator.permutation(9)) {
    sequences.push_back(random_matrix<double>(generator, (k + 1) * (k + 1), 5));
  }
  if (!shuffled) {
    std::sort(sequences.begin(), sequences.end(),
              [](const auto& x, const auto& y) { return x.rows() > y.rows(); });
  }
  return sequences;
}

Indices lengths_of(const Sequences& sequences) {
  Indices lengths;
  for (const auto& one : sequences) {
    lengths.push_back(one.rows());
  }
  return lengths;
}

void expect_same_sequences(const Sequences& actual, const Sequences& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t k = 0; k < actual.size(); ++k) {
    expect_same(actual[k], expected[k], "sequence");
  }
}

void expect_same_packed(const PackedSequence<double>& actual,
                        const PackedSequence<double>& expected) {
  expect_same(actual.data, expected.data, "data");
  EXPECT_EQ(actual.batch_sizes, expected.batch_sizes);
  EXPECT_EQ(actual.sorted_indices, expected.sorted_indices);
  EXPECT_EQ(actual.unsorted_indices, expected.unsorted_indices);
}

Tensor3<double> transposed(const Tensor3<double>& tensor) {
  return Tensor3<double>(tensor.view().transposed());
}

// ---- pack_sequence, unpack_sequence ----

TEST(PackSequence, FieldsInAnyOrder) {
  const auto sorted = recur::pack_sequence(Sequences{a, b, c}, false);
  EXPECT_EQ(values_of(sorted.data), (std::vector<double>{1, 4, 6, 2, 5, 3}));
  EXPECT_EQ(sorted.batch_sizes, (Indices{3, 2, 1}));
  EXPECT_EQ(sorted.sorted_indices, (Indices{0, 1, 2}));
  EXPECT_EQ(sorted.unsorted_indices, (Indices{0, 1, 2}));

  const auto unsorted = recur::pack_sequence(Sequences{b, c, a}, false);
  EXPECT_EQ(values_of(unsorted.data), values_of(sorted.data));
  EXPECT_EQ(unsorted.batch_sizes, (Indices{3, 2, 1}));
  EXPECT_EQ(unsorted.sorted_indices, (Indices{2, 0, 1}));
  EXPECT_EQ(unsorted.unsorted_indices, (Indices{1, 2, 0}));
}

TEST(PackSequence, FieldsWhenTheOrderIsEnforced) {
  const auto packed = recur::pack_sequence(Sequences{a, b, c});
  EXPECT_EQ(values_of(packed.data), (std::vector<double>{1, 4, 6, 2, 5, 3}));
  EXPECT_EQ(packed.batch_sizes, (Indices{3, 2, 1}));
  EXPECT_TRUE(packed.sorted_indices.empty());
  EXPECT_TRUE(packed.unsorted_indices.empty());
  EXPECT_ERROR(recur::pack_sequence(Sequences{b, c, a}), "must be sorted in decreasing order");
  EXPECT_ERROR(recur::pack_sequence(Sequences{b, c, a}), "You can pass `enforce_sorted=False`");
}

TEST(PackSequence, AgreesWithPackPaddedSequence) {
  recur::Generator generator(1);
  for (const bool shuffled : {false, true}) {
    for (const bool batch_first : {false, true}) {
      for (const bool enforce_sorted : {false, true}) {
        if (shuffled && enforce_sorted) {
          continue;
        }
        const Sequences sequences = squares(generator, shuffled);
        const auto padded = recur::pad_sequence(sequences, {.batch_first = batch_first});
        const auto packed = recur::pack_sequence(sequences, enforce_sorted);
        const auto unpacked = recur::pad_packed_sequence(packed, {.batch_first = batch_first});
        expect_same(unpacked.data, padded, "padded");
        EXPECT_EQ(unpacked.lengths, lengths_of(sequences));
        expect_same_packed(recur::pack_padded_sequence(
                               padded, lengths_of(sequences),
                               {.batch_first = batch_first, .enforce_sorted = enforce_sorted}),
                           packed);
      }
    }
  }
}

TEST(PackSequence, RoundTrip) {
  recur::Generator generator(2);
  expect_same_sequences(recur::unpack_sequence(recur::pack_sequence(Sequences{a, b, c}, false)),
                        {a, b, c});
  const Sequences sequences = squares(generator, true);
  expect_same_sequences(recur::unpack_sequence(recur::pack_sequence(sequences, false)), sequences);
}

// ---- pad_sequence, unpad_sequence ----

TEST(PadSequence, Values) {
  EXPECT_EQ(values_of(recur::pad_sequence(Sequences{b, a, c}, {.batch_first = true})),
            (std::vector<double>{4, 5, 0, 1, 2, 3, 6, 0, 0}));
  EXPECT_EQ(values_of(recur::pad_sequence(Sequences{b, a, c})),
            (std::vector<double>{4, 1, 6, 5, 2, 0, 0, 3, 0}));
  EXPECT_EQ(
      values_of(recur::pad_sequence(Sequences{b, a, c}, {.batch_first = true, .padding_value = 1})),
      (std::vector<double>{4, 5, 1, 1, 2, 3, 6, 1, 1}));
  EXPECT_EQ(values_of(recur::pad_sequence(Sequences{a, b, c}, {.batch_first = true})),
            (std::vector<double>{1, 2, 3, 4, 5, 0, 6, 0, 0}));
}

TEST(PadSequence, TakesColumnMajorSequencesTransposed) {
  recur::Generator generator(3);
  Sequences by_rows;
  std::vector<Eigen::MatrixXf> by_columns;
  for (const Index length : {2, 5, 1}) {
    by_rows.push_back(random_matrix<double>(generator, length, 3));
    by_columns.emplace_back(by_rows.back().transpose().cast<float>());
  }
  const auto expected = recur::pad_sequence(by_rows);
  const auto actual = recur::pad_sequence(by_columns);
  ASSERT_EQ(actual.shape(), "(5, 3, 3)");
  EXPECT_TRUE(RowMatrix<double>(actual.rows().cast<double>())
                  .isApprox(RowMatrix<double>(expected.rows()), 1e-6));
}

TEST(PadSequence, RoundTrip) {
  recur::Generator generator(4);
  for (const bool batch_first : {false, true}) {
    const Sequences sequences = squares(generator, true);
    const auto padded = recur::pad_sequence(sequences, {.batch_first = batch_first});
    EXPECT_EQ(padded.shape(), batch_first ? "(9, 81, 5)" : "(81, 9, 5)");
    expect_same_sequences(recur::unpad_sequence(padded, lengths_of(sequences), batch_first),
                          sequences);
  }
}

TEST(PadSequence, EmptySequences) {
  const Sequences sequences{RowMatrix<double>(0, 2), RowMatrix<double>(0, 2)};
  EXPECT_EQ(recur::pad_sequence(sequences).shape(), "(0, 2, 2)");  // as PyTorch's
  const auto back = recur::unpad_sequence(Tensor3<double>(3, 2, 2), Indices{0, 3});
  EXPECT_EQ(back[0].rows(), 0);
  EXPECT_EQ(back[0].cols(), 2);
  EXPECT_EQ(back[1].rows(), 3);
}

TEST(PadSequence, Errors) {
  EXPECT_ERROR(recur::pad_sequence(Sequences{}), "received an empty list of sequences");
  EXPECT_ERROR(recur::pack_sequence(Sequences{}), "received an empty list of sequences");
  EXPECT_ERROR(recur::pad_sequence(Sequences{RowMatrix<double>(3, 2), RowMatrix<double>(3, 4)}),
               "sequences[1]: expected 2 features, as those before it, got 4");
  EXPECT_ERROR(recur::unpad_sequence(Tensor3<double>(5, 3, 2), Indices{4, 5}),
               "Expected `len(lengths)` to be equal to batch_size, but got 2 (batch_size=3)");
  EXPECT_ERROR(recur::unpad_sequence(Tensor3<double>(5, 3, 2), Indices{4, 9, 5}),
               "lengths[1]: expected 0 to 5 (the time steps of the input), got 9");
}

// ---- pack_padded_sequence, pad_packed_sequence ----

TEST(PackPaddedSequence, DataBatchSizesAndGradient) {
  recur::Generator generator(5);
  for (const auto& [sorted_lengths, shuffled] :
       std::vector<std::pair<Indices, bool>>{{{10, 8, 4, 2, 2, 2, 1}, false},
                                             {{11, 10, 8, 6, 4, 3, 1}, false},
                                             {{11, 10, 8, 6, 4, 3, 1}, true}}) {
    for (const bool batch_first : {false, true}) {
      const Index T = sorted_lengths[0];
      const Index B = 7;
      const Indices place = shuffled ? generator.permutation(B) : Indices{0, 1, 2, 3, 4, 5, 6};
      // Element j of step t of sorted sequence k: 100 (k + 1) + 5 t + j + 1, and zero padding.
      Tensor3<double> padded(T, B, 5);
      Indices lengths(7);
      for (Index k = 0; k < B; ++k) {
        const auto at = static_cast<std::size_t>(k);
        lengths[static_cast<std::size_t>(place[at])] = sorted_lengths[at];
        for (Index t = 0; t < sorted_lengths[at]; ++t) {
          for (Index j = 0; j < 5; ++j) {
            padded(t, place[at], j) = static_cast<double>(100 * (k + 1) + 5 * t + j + 1);
          }
        }
      }
      const Tensor3<double> source = batch_first ? transposed(padded) : padded;
      const auto packed = recur::pack_padded_sequence(
          source, lengths, {.batch_first = batch_first, .enforce_sorted = !shuffled});

      Index row = 0;
      for (Index t = 0; t < T; ++t) {
        const Index running = std::count_if(sorted_lengths.begin(), sorted_lengths.end(),
                                            [t](Index length) { return length > t; });
        ASSERT_EQ(packed.batch_sizes[static_cast<std::size_t>(t)], running);
        for (Index k = 0; k < running; ++k, ++row) {
          EXPECT_EQ(packed.data(row, 4), static_cast<double>(100 * (k + 1) + 5 * t + 5));
        }
      }
      EXPECT_EQ(packed.data.rows(), row);
      EXPECT_EQ(packed.sorted_indices, shuffled ? place : Indices());
      EXPECT_EQ(packed.unsorted_indices, shuffled ? recur::invert_permutation(place) : Indices());

      const auto unpacked = recur::pad_packed_sequence(packed, {.batch_first = batch_first});
      expect_same(unpacked.data, source, "padded");
      EXPECT_EQ(unpacked.lengths, lengths);

      // Backward of both: what stands at the padding is dropped, all else comes back.
      auto d_padded = random_tensor<double>(generator, T, B, 5);
      const Tensor3<double> d_source = batch_first ? transposed(d_padded) : d_padded;
      const auto d_packed = recur::pad_packed_sequence_backward(d_source, packed, batch_first);
      const auto d_back = recur::pack_padded_sequence_backward(d_packed, T, batch_first);
      for (Index k = 0; k < B; ++k) {
        for (Index t = lengths[static_cast<std::size_t>(k)]; t < T; ++t) {
          d_padded[t].row(k).setZero();
        }
      }
      expect_same(batch_first ? transposed(d_back) : d_back, d_padded, "gradient");
    }
  }
}

TEST(PackPaddedSequence, EqualLengthsKeepTheirOrder) {
  const Tensor3<double> x(5, 4, 1);
  const auto packed =
      recur::pack_padded_sequence(x, Indices{2, 5, 2, 5}, {.enforce_sorted = false});
  EXPECT_EQ(packed.sorted_indices, (Indices{1, 3, 0, 2}));
  const auto all = recur::pack_padded_sequence(x, Indices{5, 5, 5, 5});
  EXPECT_EQ(all.batch_sizes, (Indices{4, 4, 4, 4, 4}));
}

// The batch may have more steps than its longest sequence: they are not packed.
TEST(PackPaddedSequence, DropsStepsBehindTheLongest) {
  const auto packed = recur::pack_padded_sequence(Tensor3<double>(5, 3, 2), Indices{4, 2, 1});
  EXPECT_EQ(packed.batch_sizes, (Indices{3, 2, 1, 1}));
  EXPECT_EQ(packed.data.rows(), 7);
}

TEST(PackPaddedSequence, Errors) {
  const Tensor3<double> x(5, 3, 2);
  const std::string not_positive =
      "Length of all samples has to be greater than 0, but found an element in 'lengths' that is "
      "<= 0";
  EXPECT_EQ(recur::test::error_of([&] {
              recur::pack_padded_sequence(x, Indices{5, 1, 0});
            }),
            not_positive);
  for (const Index length : {0, -1}) {
    EXPECT_EQ(recur::test::error_of([&] {
                recur::pack_padded_sequence(x, Indices{5, length, 1}, {.enforce_sorted = false});
              }),
              not_positive);
  }
  EXPECT_EQ(
      recur::test::error_of([&] {
        recur::pack_padded_sequence(x, Indices{1, 5, 2});
      }),
      "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can "
      "pass `enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this "
      "requirement if you do not need ONNX exportability.");
  EXPECT_EQ(recur::test::error_of([&] {
              recur::pack_padded_sequence(x, Indices{5, 2});
            }),
            "Expected `len(lengths)` to be equal to batch_size, but got 2 (batch_size=3)");
  EXPECT_EQ(recur::test::error_of([&] { recur::pack_padded_sequence(x, Indices{}); }),
            "Expected `len(lengths)` to be equal to batch_size, but got 0 (batch_size=3)");
  for (const bool batch_first : {false, true}) {
    for (const Tensor3<double>& empty :
         {Tensor3<double>(5, 0, 2), Tensor3<double>(0, 3, 2), Tensor3<double>(5, 3, 0)}) {
      EXPECT_EQ(recur::test::error_of([&] {
                  recur::pack_padded_sequence(empty, Indices{}, {.batch_first = batch_first});
                }),
                "Cannot pack empty tensors.");
    }
  }
  // PyTorch reads past the batch here.
  EXPECT_ERROR(recur::pack_padded_sequence(x, Indices{6, 2, 1}),
               "lengths[0]: expected 0 to 5 (the time steps of the input), got 6");
}

TEST(PadPackedSequence, TotalLength) {
  recur::Generator generator(6);
  const Indices lengths{6, 4, 4, 2, 1};
  const auto x = random_tensor<double>(generator, 6, 5, 3);
  const auto packed = recur::pack_padded_sequence(x, lengths);
  for (const bool batch_first : {false, true}) {
    for (const Index total : {-1, 0, 5}) {
      EXPECT_ERROR(
          recur::pad_packed_sequence(packed, {.batch_first = batch_first, .total_length = total}),
          "Expected total_length to be at least the length of the longest sequence in input, but "
          "got total_length=" +
              std::to_string(total) + " and max sequence length being 6");
    }
    const auto shortest = recur::pad_packed_sequence(packed, {.batch_first = batch_first});
    for (const Index more : {0, 1, 8}) {
      const auto padded = recur::pad_packed_sequence(
          packed, {.batch_first = batch_first, .total_length = 6 + more});
      EXPECT_EQ(padded.lengths, lengths);
      const int steps = batch_first ? 1 : 0;
      ASSERT_EQ(padded.data.size(steps), 6 + more);
      expect_same(Tensor3<double>(padded.data.view().narrow(steps, 0, 6)), shortest.data, "steps");
      expect_same(Tensor3<double>(padded.data.view().narrow(steps, 6, more)),
                  batch_first ? Tensor3<double>(5, more, 3) : Tensor3<double>(more, 5, 3), "zeros");
    }
  }
}

TEST(PadPackedSequence, PaddingValue) {
  const auto packed = recur::pack_sequence(Sequences{c, a, b}, false);
  EXPECT_EQ(values_of(recur::pad_packed_sequence(
                          packed, {.batch_first = true, .padding_value = -7, .total_length = 4})
                          .data),
            (std::vector<double>{6, -7, -7, -7, 1, 2, 3, -7, 4, 5, -7, -7}));
}

TEST(PadPackedSequence, BackwardErrors) {
  const auto packed = recur::pack_sequence(Sequences{a, b, c});
  EXPECT_ERROR(recur::pad_packed_sequence_backward(Tensor3<double>(2, 3, 1), packed),
               "d_padded: expected (3, 3, 1) or more steps, got (2, 3, 1)");
  EXPECT_ERROR(recur::pad_packed_sequence_backward(Tensor3<double>(2, 3, 1), packed, true),
               "d_padded: expected (3, 3, 1) or more steps, got (2, 3, 1)");
  EXPECT_ERROR(recur::pad_packed_sequence_backward(Tensor3<double>(3, 3, 2), packed),
               "got (3, 3, 2)");
}

// Views of memory that is not contiguous, and of elements that can be written.
TEST(PackPaddedSequence, TakesViews) {
  recur::Generator generator(7);
  auto big = random_tensor<double>(generator, 3, 6, 9);
  const auto view = big.view().transposed().narrow(2, 2, 4).narrow(0, 1, 5);  // (5, 3, 4)
  const Indices lengths{2, 5, 3};
  const auto expected =
      recur::pack_padded_sequence(Tensor3<double>(view), lengths, {.enforce_sorted = false});
  expect_same_packed(recur::pack_padded_sequence(view, lengths, {.enforce_sorted = false}),
                     expected);
  const auto const_view = recur::Tensor3View<const double>(view).transposed();
  expect_same_packed(recur::pack_padded_sequence(const_view, lengths,
                                                 {.batch_first = true, .enforce_sorted = false}),
                     expected);
}

// ---- malformed ----

TEST(PackedSequence, IsChecked) {
  const PackedSequence<double> good = recur::pack_sequence(Sequences{b, c, a}, false);
  const auto error = [&](auto&& spoil) {
    PackedSequence<double> bad = good;
    spoil(bad);
    return recur::test::error_of([&] { recur::pad_packed_sequence(bad); });
  };
  EXPECT_EQ(error([](auto& p) { p.batch_sizes = {}; }),
            "PackedSequence: batch_sizes: expected at least one, got none");
  EXPECT_EQ(error([](auto& p) {
              p.batch_sizes = {2, 3, 1};
            }),
            "PackedSequence: batch_sizes[1]: expected at most the 2 before it, got 3");
  EXPECT_EQ(error([](auto& p) {
              p.batch_sizes = {3, 3, 0};
            }),
            "PackedSequence: batch_sizes[2]: expected a positive number, got 0");
  EXPECT_EQ(error([](auto& p) {
              p.batch_sizes = {3, 2};
            }),
            "PackedSequence: data: expected 5 rows, the sum of batch_sizes, got 6");
  EXPECT_EQ(error([](auto& p) {
              p.sorted_indices = {0, 1};
            }),
            "PackedSequence: sorted_indices: expected 3 of them, one for each sequence, got 2");
  EXPECT_EQ(error([](auto& p) { p.sorted_indices = {}; }),
            "PackedSequence: sorted_indices: expected 3 of them, one for each sequence, got 0");
  // good.unsorted_indices is {1, 2, 0}, the inverse of {2, 0, 1}.
  const std::string not_inverse =
      "PackedSequence: expected unsorted_indices to be the inverse of sorted_indices, a "
      "permutation "
      "of 0 to 2, got sorted_indices[";
  EXPECT_EQ(error([](auto& p) { p.sorted_indices = {2, 2, 1}; }), not_inverse + "1] = 2");
  EXPECT_EQ(error([](auto& p) { p.sorted_indices = {2, 0, -1}; }), not_inverse + "2] = -1");
  EXPECT_EQ(error([](auto& p) { p.sorted_indices = {3, 0, 1}; }), not_inverse + "0] = 3");
  EXPECT_EQ(error([](auto& p) { p.unsorted_indices = {0, 1, 2}; }), not_inverse + "0] = 2");
  EXPECT_EQ(error([](auto& p) {
              p.unsorted_indices = {1, 2};
            }),
            "PackedSequence: unsorted_indices: expected 3 of them, got 2");
  for (const Index bad : {2, 3, -1}) {
    EXPECT_EQ(error([bad](auto& p) {
                p.sorted_indices = {0, 2, bad};
                p.unsorted_indices = {};
              }),
              "sorted_indices[2]: expected a permutation of 0 to 2, got " + std::to_string(bad));
  }
  PackedSequence<double> derived = good;
  derived.unsorted_indices = {};  // as PyTorch's constructor, which derives them
  EXPECT_EQ(recur::pad_packed_sequence(derived).lengths, (Indices{2, 1, 3}));
  EXPECT_ERROR(recur::invert_permutation(Indices{0, 3, 1}),
               "sorted_indices[1]: expected a permutation of 0 to 2, got 3");
}

}  // namespace
}  // namespace packed_sequence_test
