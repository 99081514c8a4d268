// SPDX-License-Identifier: MIT
#include "recur/io/pickle_stack.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/files.hpp"

namespace pickle_stack_test {
namespace {

using recur::detail::PickleBytes;
using recur::detail::PickleRef;
using recur::detail::PickleStack;
using Refs = std::vector<PickleRef>;

// A stack at instruction 1 of a pickle of 10 bytes.
struct Fixture {
  std::string text = std::string(10, 'N');
  PickleBytes bytes{recur::test::bytes_of_text(text), "test.pkl"};
  PickleStack stack{bytes};

  Fixture() {
    bytes.instruction();
    bytes.instruction();
  }
};

TEST(PickleStack, GivesBackTheNewestFirst) {
  Fixture f;
  EXPECT_TRUE(f.stack.empty());
  f.stack.push(7);
  f.stack.push(8);
  EXPECT_FALSE(f.stack.empty());
  EXPECT_EQ(f.stack.top(), 8U);
  EXPECT_EQ(f.stack.pop(), 8U);
  EXPECT_EQ(f.stack.pop(), 7U);
  EXPECT_TRUE(f.stack.empty());
}

// TUPLE3 makes (1, 2, 3) of a stack with 3 on top.
TEST(PickleStack, SeveralComeInTheOrderOfPushing) {
  Fixture f;
  for (const PickleRef ref : {4U, 1U, 2U, 3U}) {
    f.stack.push(ref);
  }
  EXPECT_EQ(f.stack.pop_many(3), (Refs{1, 2, 3}));
  EXPECT_EQ(f.stack.pop_many(0), Refs{});
  EXPECT_EQ(f.stack.pop_many(1), Refs{4});
  EXPECT_TRUE(f.stack.empty());
}

TEST(PickleStack, MarksNest) {
  Fixture f;
  f.stack.push(1);
  f.stack.mark();
  f.stack.push(2);
  f.stack.mark();
  f.stack.mark();
  f.stack.push(3);
  f.stack.push(4);
  EXPECT_EQ(f.stack.pop_to_mark(), (Refs{3, 4}));
  EXPECT_EQ(f.stack.pop_to_mark(), Refs{});
  EXPECT_EQ(f.stack.pop_to_mark(), Refs{2});
  EXPECT_EQ(f.stack.pop(), 1U);
  EXPECT_TRUE(f.stack.empty());
}

TEST(PickleStack, IsNotEmptyWithAMarkAlone) {
  Fixture f;
  f.stack.mark();
  EXPECT_FALSE(f.stack.empty());
  f.stack.pop_to_mark();
  EXPECT_TRUE(f.stack.empty());
}

TEST(PickleStack, WhatIsNotThereIsAnError) {
  Fixture f;
  const std::string error = "test.pkl: byte 1: the stack is empty";
  EXPECT_ERROR(f.stack.top(), error);
  EXPECT_ERROR(f.stack.pop(), error);
  f.stack.push(1);
  EXPECT_ERROR(f.stack.pop_many(2), error);
  EXPECT_ERROR(f.stack.pop_to_mark(), "test.pkl: byte 1: there is no mark");
  EXPECT_EQ(f.stack.pop(), 1U);  // an error takes nothing
}

TEST(PickleStack, WhatIsBelowAMarkIsOutOfReach) {
  Fixture f;
  f.stack.push(1);
  f.stack.mark();
  EXPECT_ERROR(f.stack.top(), "the stack is empty");
  EXPECT_ERROR(f.stack.pop(), "the stack is empty");
  EXPECT_ERROR(f.stack.pop_many(1), "the stack is empty");
  EXPECT_ERROR(f.stack.memoize(0), "the stack is empty");
  f.stack.push(2);
  EXPECT_ERROR(f.stack.pop_many(2), "the stack is empty");
  f.stack.pop_to_mark();
  EXPECT_EQ(f.stack.top(), 1U);
}

TEST(PickleStack, TheMemoHoldsTheTop) {
  Fixture f;
  f.stack.push(5);
  f.stack.memoize_next();  // 0
  f.stack.push(6);
  f.stack.memoize_next();  // 1
  f.stack.push(7);
  f.stack.memoize(10);  // as many as there are bytes
  EXPECT_EQ(f.stack.pop_many(3), (Refs{5, 6, 7}));
  f.stack.mark();  // the memo knows no marks
  f.stack.recall(10);
  f.stack.recall(0);
  f.stack.recall(1);
  f.stack.recall(0);
  EXPECT_EQ(f.stack.pop_to_mark(), (Refs{7, 5, 6, 5}));
  f.stack.push(8);
  f.stack.memoize(1);  // in its place
  f.stack.recall(1);
  EXPECT_EQ(f.stack.pop(), 8U);
}

// MEMOIZE counts what the memo holds, not how far it reaches: pickle.loads(
// b"\x80\x04Nr\x04\x00\x00\x00\x88\x94h\x01\x87.") of Python gives (None, True, True).
TEST(PickleStack, GapsOfTheMemoWereCounted) {
  Fixture f;
  f.stack.push(5);
  f.stack.memoize(4);
  f.stack.push(6);
  f.stack.memoize_next();
  f.stack.recall(1);
  EXPECT_EQ(f.stack.pop_many(3), (Refs{5, 6, 6}));
  f.stack.push(7);
  f.stack.memoize(1);  // in its place: still two
  f.stack.memoize_next();
  f.stack.recall(2);
  EXPECT_EQ(f.stack.pop(), 7U);
}

TEST(PickleStack, MemosThatAreNotThere) {
  Fixture f;
  EXPECT_ERROR(f.stack.recall(0), "test.pkl: byte 1: there is no memo 0");
  f.stack.push(5);
  f.stack.memoize(4);
  EXPECT_ERROR(f.stack.recall(3), "there is no memo 3");
  EXPECT_ERROR(f.stack.recall(5), "there is no memo 5");
  EXPECT_ERROR(f.stack.recall(~std::uint64_t{0}), "there is no memo 18446744073709551615");
}

// A few bytes must not make a reader fill the memory.
TEST(PickleStack, NoMemoNeedsANumberPastTheBytes) {
  Fixture f;
  f.stack.push(5);
  EXPECT_ERROR(f.stack.memoize(11), "test.pkl: byte 1: memo 11 in a pickle of 10 bytes");
  EXPECT_ERROR(f.stack.memoize(0xFFFFFFFF), "memo 4294967295 in a pickle of 10 bytes");
}

}  // namespace
}  // namespace pickle_stack_test
