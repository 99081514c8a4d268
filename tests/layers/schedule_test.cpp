// SPDX-License-Identifier: MIT
#include "recur/layers/schedule.hpp"

#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "support/compare.hpp"

namespace schedule_test {
namespace {

using recur::Index;
using recur::Schedule;
using Indices = std::vector<Index>;
using Blocks = std::vector<std::pair<Index, Index>>;

Blocks blocks_of(const Schedule& schedule, Index first, Index last) {
  Blocks blocks;
  schedule.for_each_block(first, last,
                          [&](Index row, Index count) { blocks.emplace_back(row, count); });
  return blocks;
}

Schedule schedule_of(Index steps, const Indices& lengths) {
  Schedule schedule;
  schedule.assign(steps, static_cast<Index>(lengths.size()), lengths);
  return schedule;
}

TEST(Schedule, AllRunToTheEnd) {
  Schedule schedule;
  schedule.assign(4, 3);
  EXPECT_EQ(schedule.length(2), 4);
  EXPECT_EQ(schedule.running(3), 3);
  EXPECT_EQ(schedule.source(1), 1);
  EXPECT_EQ(blocks_of(schedule, 1, 4), (Blocks{{3, 9}}));
  EXPECT_EQ(blocks_of(schedule, 2, 2), Blocks{});
}

// PyTorch's pack_padded_sequence: lengths 3, 2, 1 → batch_sizes 3, 2, 1.
TEST(Schedule, LengthsThatFall) {
  const Schedule schedule = schedule_of(3, {3, 2, 1});
  EXPECT_EQ(schedule.active, (Indices{3, 2, 1}));
  EXPECT_EQ(schedule.order, (Indices{0, 1, 2}));
  EXPECT_EQ(schedule.lengths, (Indices{3, 2, 1}));
}

TEST(Schedule, LengthsInAnyOrder) {
  const Schedule schedule = schedule_of(6, {2, 0, 5, 2});
  EXPECT_EQ(schedule.order, (Indices{2, 0, 3, 1}));  // equal ones in the caller's order
  EXPECT_EQ(schedule.lengths, (Indices{5, 2, 2, 0}));
  EXPECT_EQ(schedule.active, (Indices{3, 3, 1, 1, 1, 0}));
  EXPECT_EQ(schedule.source(0), 2);
  EXPECT_EQ(schedule.length(3), 0);
  EXPECT_EQ(blocks_of(schedule, 0, 6), (Blocks{{0, 3}, {4, 3}, {8, 1}, {12, 1}, {16, 1}}));
}

TEST(Schedule, StepsOfAllSequencesAreOneBlock) {
  const Schedule schedule = schedule_of(4, {4, 2, 3});
  EXPECT_EQ(blocks_of(schedule, 0, 4), (Blocks{{0, 6}, {6, 2}, {9, 1}}));
  EXPECT_EQ(blocks_of(schedule, 1, 3), (Blocks{{3, 3}, {6, 2}}));
}

// Rows counted over the steps: 0 … 5 of steps 0 and 1 at 0 … 5, then 6, 7 at 6, 7 and 8 at 9.
TEST(Schedule, PartsOfTheRunningRows) {
  const Schedule schedule = schedule_of(4, {4, 2, 3});
  EXPECT_EQ(schedule.running_rows(0, 4), 9);
  EXPECT_EQ(schedule.running_rows(1, 3), 5);
  const auto part = [&](Index first, Index last, Index from, Index to) {
    Blocks blocks;
    schedule.for_each_block(first, last, from, to,
                            [&](Index row, Index count) { blocks.emplace_back(row, count); });
    return blocks;
  };
  EXPECT_EQ(part(0, 4, 0, 2), (Blocks{{0, 2}}));
  EXPECT_EQ(part(0, 4, 2, 7), (Blocks{{2, 4}, {6, 1}}));
  EXPECT_EQ(part(0, 4, 7, 9), (Blocks{{7, 1}, {9, 1}}));
  EXPECT_EQ(part(2, 4, 1, 3), (Blocks{{7, 1}, {9, 1}}));
  EXPECT_EQ(part(0, 4, 3, 3), Blocks{});
}

// What a thread takes of a chunk: some sequences, step by step.
TEST(Schedule, BlocksOfAPart) {
  using Parts = std::vector<Schedule::Block>;
  const auto part = [](const Schedule& schedule, Index first, Index last, Index from, Index to) {
    Parts blocks;
    schedule.for_each_block_of_part(first, last, from, to,
                                    [&](const Schedule::Block& block) { blocks.push_back(block); });
    return blocks;
  };
  // row, rows counted before it; rows, steps; to the next step, among all rows and counted ones
  const Schedule lengths = schedule_of(4, {2, 4, 3});  // 3, 3, 2 and 1 run
  EXPECT_EQ(part(lengths, 0, 4, 1, 3), (Parts{{1, 1, 2, 2, 3, 3}, {7, 7, 1, 1, 3, 2}}));
  EXPECT_EQ(part(lengths, 1, 4, 1, 3), (Parts{{4, 1, 2, 1, 3, 3}, {7, 4, 1, 1, 3, 2}}));
  EXPECT_EQ(part(lengths, 2, 4, 0, 3), (Parts{{6, 0, 2, 1, 3, 2}, {9, 2, 1, 1, 3, 1}}));
  EXPECT_EQ(part(lengths, 3, 4, 1, 3), Parts{});
  EXPECT_EQ(part(lengths, 0, 3, 0, 3), (Parts{{0, 0, 6, 1, 6, 6}, {6, 6, 2, 1, 3, 2}}));
  Schedule full;
  full.assign(3, 10);
  EXPECT_EQ(part(full, 1, 3, 0, 10), (Parts{{10, 0, 20, 1, 20, 20}}));  // at once
  EXPECT_EQ(part(full, 1, 3, 4, 10), (Parts{{14, 4, 6, 2, 10, 10}}));
}

// Two threads: the sequence of eight steps is as much work as the other four.
TEST(Schedule, PartsOfEqualWork) {
  const Schedule schedule = schedule_of(8, {2, 2, 8, 1, 3});
  EXPECT_EQ(schedule.part_begin(0, 8, 0, 2), 0);
  EXPECT_EQ(schedule.part_begin(0, 8, 1, 2), 1);
  EXPECT_EQ(schedule.part_begin(0, 8, 2, 2), 5);
  EXPECT_EQ(schedule.part_begin(0, 2, 1, 2), 2);  // 9 rows: 2, 2 and 2, 2, 1
  EXPECT_EQ(schedule.part_begin(4, 8, 1, 2), 1);  // only one is left
  EXPECT_EQ(schedule.part_begin(4, 8, 2, 2), 1);
  Schedule full;
  full.assign(3, 10);
  EXPECT_EQ(full.part_begin(0, 3, 1, 3), 3);
  EXPECT_EQ(full.part_begin(0, 3, 3, 3), 10);
}

// Runs of steps that a scan takes at once, in both directions.
TEST(Schedule, StepsOfEqualRows) {
  const Schedule schedule = schedule_of(6, {6, 4, 4, 1});  // running: 4, 3, 3, 3, 1, 1
  EXPECT_EQ(schedule.equal_steps(0, 1, 6), 1);
  EXPECT_EQ(schedule.equal_steps(1, 1, 5), 3);
  EXPECT_EQ(schedule.equal_steps(1, 1, 2), 2);
  EXPECT_EQ(schedule.equal_steps(4, 1, 2), 2);
  EXPECT_EQ(schedule.equal_steps(5, -1, 6), 2);
  EXPECT_EQ(schedule.equal_steps(3, -1, 4), 3);
  EXPECT_EQ(schedule.equal_steps(0, -1, 1), 1);
  Schedule full;
  full.assign(6, 4);
  EXPECT_EQ(full.equal_steps(2, 1, 4), 4);
}

TEST(Schedule, NothingToDo) {
  EXPECT_EQ(blocks_of(schedule_of(3, {0, 0}), 0, 3), Blocks{});
  EXPECT_EQ(blocks_of(schedule_of(3, {}), 0, 3), Blocks{});
}

TEST(Schedule, CanBeAssignedAgain) {
  Schedule schedule = schedule_of(6, {2, 0, 5, 2});
  schedule.assign(3, 2);
  EXPECT_EQ(schedule.running(2), 2);
  EXPECT_EQ(schedule.source(1), 1);
  EXPECT_EQ(schedule.length(1), 3);
}

TEST(Schedule, WrongLengths) {
  const Indices two{1, 2};
  EXPECT_ERROR(recur::check_lengths(two, 3, 5),
               "Expected `len(lengths)` to be equal to batch_size, but got 2 (batch_size=3)");
  const Indices negative{1, -1};
  EXPECT_ERROR(recur::check_lengths(negative, 2, 5), "lengths[1]: expected 0 to 5");
  const Indices long_one{6, 1};
  EXPECT_ERROR(recur::check_lengths(long_one, 2, 5),
               "lengths[0]: expected 0 to 5 (the time steps of the input), got 6");
  recur::check_lengths(two, 2, 5);
}

TEST(Schedule, OfAPackedSequence) {
  Schedule schedule;
  const Indices batch_sizes{3, 2, 2, 1};
  const Indices sorted_indices{2, 0, 1};
  schedule.assign_packed(batch_sizes, sorted_indices);
  EXPECT_EQ(schedule.steps, 4);
  EXPECT_EQ(schedule.batch, 3);
  EXPECT_EQ(schedule.lengths, (Indices{4, 3, 1}));
  EXPECT_EQ(schedule.active, batch_sizes);
  EXPECT_EQ(schedule.order, sorted_indices);
  EXPECT_EQ(schedule.offsets, (Indices{0, 3, 5, 7}));
  EXPECT_TRUE(schedule.packed());
  EXPECT_FALSE(schedule.full());

  schedule.assign_packed(batch_sizes, {});
  EXPECT_EQ(schedule.source(1), 1);
  EXPECT_EQ(schedule.offsets, (Indices{0, 3, 5, 7}));
  schedule.assign(4, 3);
  EXPECT_FALSE(schedule.packed());
  EXPECT_TRUE(schedule.full());
}

}  // namespace
}  // namespace schedule_test
