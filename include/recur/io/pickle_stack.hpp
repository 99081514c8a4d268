// SPDX-License-Identifier: MIT
//
// What the instructions of a pickle work on: a stack with marks, and the memo, which holds values
// that come again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "recur/io/pickle_bytes.hpp"
#include "recur/io/pickle_value.hpp"

namespace recur::inline RECUR_ABI::detail {

/// Not the values, but their places. What lies below the newest mark is out of reach. Every error
/// is about the instruction that `in` is at; `in` must outlive the object.
class PickleStack {
 public:
  explicit PickleStack(const PickleBytes& in) : in_(in) {}

  /// True where neither a value nor a mark is left.
  bool empty() const { return stack_.empty() && marks_.empty(); }

  void push(PickleRef ref) { stack_.push_back(ref); }
  PickleRef top() const {
    in_.require(available() > 0, "the stack is empty");
    return stack_.back();
  }
  PickleRef pop() {
    const PickleRef ref = top();
    stack_.pop_back();
    return ref;
  }
  /// The newest ones, in the order in which they were pushed.
  std::vector<PickleRef> pop_many(std::size_t count) {
    in_.require(available() >= count, "the stack is empty");
    std::vector<PickleRef> refs(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return refs;
  }

  void mark() { marks_.push_back(stack_.size()); }
  /// All above the newest mark, which goes as well.
  std::vector<PickleRef> pop_to_mark() {
    in_.require(!marks_.empty(), "there is no mark");
    std::vector<PickleRef> refs = pop_many(available());
    marks_.pop_back();
    return refs;
  }

  /// Puts the top into the memo. No pickle needs a number larger than its bytes are many: more
  /// would only take memory.
  void memoize(std::uint64_t index) {
    in_.require(index <= in_.size(), "memo ", index, " in a pickle of ", in_.size(), " bytes");
    const PickleRef ref = top();
    if (index >= memo_.size()) {
      memo_.resize(static_cast<std::size_t>(index) + 1, no_pickle_value);
    }
    PickleRef& place = memo_[static_cast<std::size_t>(index)];
    memoized_ += place == no_pickle_value ? 1 : 0;
    place = ref;
  }
  /// Puts the top into the memo, at the number of those that it holds.
  void memoize_next() { memoize(memoized_); }
  /// Pushes what the memo holds.
  void recall(std::uint64_t index) {
    in_.require(index < memo_.size() && memo_[static_cast<std::size_t>(index)] != no_pickle_value,
                "there is no memo ", index);
    push(memo_[static_cast<std::size_t>(index)]);
  }

 private:
  // Values above the newest mark.
  std::size_t available() const {
    return stack_.size() - (marks_.empty() ? std::size_t{0} : marks_.back());
  }

  const PickleBytes& in_;
  std::vector<PickleRef> stack_;
  std::vector<std::size_t> marks_;  // heights of the stack
  std::vector<PickleRef> memo_;
  std::size_t memoized_ = 0;  // of memo_: without the gaps
};

}  // namespace recur::inline RECUR_ABI::detail
