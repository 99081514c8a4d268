// SPDX-License-Identifier: MIT
#include "recur/layers/sharing.hpp"

#include <gtest/gtest.h>

#include "recur/math/lstm.hpp"

namespace sharing_test {
namespace {

using recur::Index;
using recur::layers::Sharing;
using LSTM = recur::math::LSTM;

Sharing sharing(Index steps, Index batch, Index hidden, Index directions, int threads,
                double meeting = 1) {
  recur::Schedule schedule;
  schedule.assign(steps, batch);
  return recur::layers::sharing_of<LSTM, float>({hidden, hidden, hidden, LSTM::gates, true},
                                                directions, schedule, threads, meeting);
}

void expect(const Sharing& s, int threads, int step_threads, Index parts, bool products_in_tasks) {
  EXPECT_EQ(s.threads, threads);
  EXPECT_EQ(s.step_threads, step_threads);
  EXPECT_EQ(s.parts, parts);
  EXPECT_EQ(s.products_in_tasks, products_in_tasks);
}

TEST(Sharing, OfSequences) {
  expect(sharing(100, 64, 100, 1, 4), 4, 1, 4, true);
  expect(sharing(100, 5, 64, 1, 4), 4, 1, 2, true);       // two each, at least
  expect(sharing(100, 64, 300, 1, 16), 16, 1, 10, true);  // a tile of six each
}

// W_hh of 640 KB is still near every thread.
TEST(Sharing, OfTwelveSequencesOf200Units) { expect(sharing(50, 12, 200, 1, 2), 2, 1, 2, true); }

// 6.1e6 multiply-adds: where meeting is dear, two threads took longer than one.
TEST(Sharing, FewSequencesAreWorthLess) {
  expect(sharing(30, 5, 64, 1, 2, 1), 2, 1, 2, true);
  expect(sharing(30, 5, 64, 1, 2, 2), 1, 1, 1, true);
}

TEST(Sharing, OfDirections) {
  expect(sharing(100, 1, 100, 2, 2), 2, 1, 1, true);
  expect(sharing(100, 64, 100, 2, 4), 4, 1, 2, true);
}

TEST(Sharing, OfTheUnitsOfFewSequences) {
  expect(sharing(100, 1, 256, 1, 2), 2, 2, 1, false);
  expect(sharing(100, 1, 128, 1, 2), 2, 2, 1, false);
  expect(sharing(100, 3, 96, 1, 2), 2, 2, 1, false);
  expect(sharing(100, 1, 128, 1, 8), 8, 3, 1, false);  // enough in a step for three
  expect(sharing(100, 1, 112, 1, 2), 2, 2, 1, false);  // 64 and 48 units
  expect(sharing(100, 1, 96, 1, 2), 2, 1, 1, false);   // too little in a step
  expect(sharing(100, 4, 64, 1, 2), 2, 1, 2, true);    // enough sequences
}

// Weights of 1.4 and of 4 MB: those are read for so many sequences at a time as there are.
TEST(Sharing, OfTheUnitsWhereTheWeightsAreFarAway) {
  expect(sharing(50, 32, 300, 1, 2), 2, 1, 2, true);
  expect(sharing(50, 32, 512, 1, 2), 2, 2, 1, false);
  expect(sharing(50, 71, 512, 1, 2), 2, 2, 1, false);
  expect(sharing(50, 72, 512, 1, 2), 2, 1, 2, true);
}

TEST(Sharing, LessWhereMeetingIsDear) {
  expect(sharing(28, 1, 128, 1, 2, 1), 2, 2, 1, false);
  expect(sharing(28, 1, 128, 1, 2, 3), 1, 1, 1, true);    // of 4.0e6 multiply-adds
  expect(sharing(100, 1, 128, 1, 2, 3), 2, 1, 1, false);  // 6.6e4 of them in a step
  expect(sharing(100, 1, 256, 1, 2, 3), 2, 2, 1, false);
  expect(sharing(100, 64, 100, 1, 4, 3), 4, 1, 4, true);
}

TEST(Sharing, OfTheRowsOfProductsOnly) { expect(sharing(100, 1, 64, 1, 2), 2, 1, 1, false); }

TEST(Sharing, NotOfLittleWorkNorWithoutThreads) {
  expect(sharing(1, 1, 10, 1, 4), 1, 1, 1, true);  // one task does all
  expect(sharing(100, 64, 100, 1, 1), 1, 1, 1, true);
}

}  // namespace
}  // namespace sharing_test
