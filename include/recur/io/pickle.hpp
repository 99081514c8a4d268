// SPDX-License-Identifier: MIT
//
// Pickles as torch.save writes them, read as data. A pickle is a program for a stack machine, one
// byte an instruction (https://github.com/python/cpython/blob/main/Lib/pickletools.py), that builds
// values and, in Python, calls whatever functions it names. Here nothing can be called: the names
// in pickle_value.hpp are known and become data, every other name is an Error. They are those that
// torch.load(weights_only=True) knows, without sparse, quantized and nested tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>  // std::memcpy
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "recur/io/pickle_bytes.hpp"
#include "recur/io/pickle_stack.hpp"
#include "recur/io/pickle_value.hpp"
#include "recur/io/tensor_file.hpp"

namespace recur::inline RECUR_ABI::detail {

/// The values of a pickle. Memory is proportional to its size: each instruction makes one value at
/// most, and refers to others where it repeats them. `where` begins the texts of errors; the bytes
/// must outlive the object.
class Pickle {
 public:
  Pickle(std::span<const std::byte> bytes, std::string where) : in_(bytes, std::move(where)) {
    for (const PickleKind kind : {PickleKind::none, PickleKind::boolean, PickleKind::boolean,
                                  PickleKind::tuple, PickleKind::inert}) {
      values_.push_back({.kind = kind});  // those that are used again and again
    }
    values_[true_value].integer = 1;
    while (!step()) {
    }
  }
  Pickle(const Pickle&) = delete;  // the stack refers to the bytes
  Pickle& operator=(const Pickle&) = delete;

  PickleRef root() const { return root_; }
  const PickleValue& operator[](PickleRef ref) const { return values_[ref]; }
  /// Number of bytes.
  std::size_t size() const { return in_.size(); }

 private:
  static constexpr PickleRef none_value = 0;
  static constexpr PickleRef false_value = 1;
  static constexpr PickleRef true_value = 2;
  static constexpr PickleRef empty_tuple = 3;
  static constexpr PickleRef inert_value = 4;

  PickleRef add(PickleValue value) {
    in_.require(values_.size() < no_pickle_value, "too many values");
    values_.push_back(std::move(value));
    return static_cast<PickleRef>(values_.size() - 1);
  }
  void push_new(PickleValue value) { stack_.push(add(std::move(value))); }
  void push_tuple(std::vector<PickleRef> items) {
    if (items.empty()) {
      stack_.push(empty_tuple);
    } else {
      push_new({.kind = PickleKind::tuple, .items = std::move(items)});
    }
  }
  std::string_view pop_text() {
    const PickleValue& value = values_[stack_.pop()];
    in_.require(value.kind == PickleKind::text, "expected text on the stack");
    return value.text;
  }

  // ---- What instructions do ----

  // Adds to a list or a dict, or, unseen, to something inert.
  void extend(PickleKind kind, const std::vector<PickleRef>& items) {
    PickleValue& target = values_[stack_.top()];
    if (target.kind == PickleKind::inert) {
      return;
    }
    in_.require(target.kind == kind, "expected a ", kind == PickleKind::dict ? "dict" : "list",
                " to add to");
    in_.require(kind != PickleKind::dict || items.size() % 2 == 0, "a key without a value");
    target.items.insert(target.items.end(), items.begin(), items.end());
  }

  void push_name(std::string_view module, std::string_view name) {
    for (std::size_t k = 0; k < known_pickle_names.size(); ++k) {
      if (known_pickle_names[k].module == module && known_pickle_names[k].name == name) {
        push_new({.kind = PickleKind::name, .name = static_cast<std::uint8_t>(k)});
        return;
      }
    }
    const bool sparse = name.starts_with("_rebuild_sparse");
    const bool quantized = name == "_rebuild_qtensor";
    in_.fail_here("refers to ", in_quotes(std::string(module) + "." + std::string(name)),
                  sparse ? ": a sparse tensor (save tensor.to_dense())"
                  : quantized
                      ? ": a quantized tensor (save tensor.dequantize())"
                      : ": only tensors and plain values in dicts, lists and tuples are read, "
                        "and nothing in a file is run (of a whole module or another object, "
                        "save its state_dict())");
  }

  void reduce() {
    const PickleRef arguments = stack_.pop();
    const PickleRef function = stack_.pop();
    in_.require(values_[arguments].kind == PickleKind::tuple, "expected a tuple of arguments");
    const PickleValue& callee = values_[function];
    in_.require(callee.kind == PickleKind::name, "expected the name of a function to call");
    const std::vector<PickleRef>& given = values_[arguments].items;
    switch (callee.known().meaning) {
      case PickleName::ordered_dict:
        in_.require(given.empty(), "expected an empty OrderedDict");
        push_new({.kind = PickleKind::dict});
        return;
      case PickleName::rebuild_parameter: {  // the parameter is its tensor
        in_.require(!given.empty(), "expected the tensor of a parameter");
        stack_.push(given[0]);
        return;
      }
      case PickleName::rebuild_from_type: {  // a tensor with attributes: called without them
        in_.require(given.size() == 4, "expected 4 arguments, got ", given.size());
        const PickleValue& function_2 = values_[given[0]];
        const PickleValue& type = values_[given[1]];
        in_.require(function_2.kind == PickleKind::name &&
                        function_2.known().meaning != PickleName::rebuild_from_type &&
                        type.kind == PickleKind::name && type.known().meaning == PickleName::inert,
                    "expected a function that makes tensors, and its class");
        stack_.push(given[0]);
        stack_.push(given[2]);
        reduce();
        return;
      }
      case PickleName::rebuild_tensor:
      case PickleName::rebuild_tensor_3:
        in_.require(given.size() >= 6 && given.size() <= 8, "expected 6 to 8 arguments, got ",
                    given.size());
        push_new({.kind = PickleKind::call, .name = callee.name, .items = given});
        return;
      case PickleName::inert:
        stack_.push(inert_value);
        return;
      case PickleName::storage:
      case PickleName::dtype:
        break;
    }
    in_.fail_here("expected a function to call, got ", callee.known().module, ".",
                  callee.known().name);
  }

  void push_long(std::uint64_t count) {
    const auto bytes = in_.take(count);
    if (count > sizeof(std::int64_t)) {
      stack_.push(inert_value);  // too large for anything here
      return;
    }
    const bool negative = count > 0 && (bytes.back() & std::byte{0x80}) != std::byte{0};
    std::int64_t value = negative ? -1 : 0;
    if (count > 0) {
      std::memcpy(&value, bytes.data(), bytes.size());
    }
    push_new({.kind = PickleKind::integer, .integer = value});
  }

  void push_integer(std::int64_t value) {
    push_new({.kind = PickleKind::integer, .integer = value});
  }
  void push_text(std::uint64_t count) {
    push_new({.kind = PickleKind::text, .text = in_.text(count)});
  }
  void push_bytes(std::uint64_t count) {
    in_.take(count);
    stack_.push(inert_value);
  }

  /// Runs one instruction; true after the last.
  bool step() {
    const std::uint8_t code = in_.instruction();
    switch (code) {
      case 0x80: {  // PROTO
        const auto protocol = in_.number<std::uint8_t>();
        in_.require(protocol >= 2 && protocol <= 5, "expected protocol 2 to 5, got ",
                    int{protocol});
        break;
      }
      case 0x95:  // FRAME: how many bytes to read at once
        in_.take(8);
        break;
      case '.':  // STOP
        root_ = stack_.pop();
        in_.require(stack_.empty(), "the end, but more values on the stack");
        in_.require(in_.at_end(), "the end, but more bytes after it");
        return true;

      case 'N':  // NONE
        stack_.push(none_value);
        break;
      case 0x88:  // NEWTRUE
        stack_.push(true_value);
        break;
      case 0x89:  // NEWFALSE
        stack_.push(false_value);
        break;
      case 'J':  // BININT
        push_integer(in_.number<std::int32_t>());
        break;
      case 'K':  // BININT1
        push_integer(in_.number<std::uint8_t>());
        break;
      case 'M':  // BININT2
        push_integer(in_.number<std::uint16_t>());
        break;
      case 0x8A:  // LONG1
        push_long(in_.number<std::uint8_t>());
        break;
      case 0x8B:  // LONG4
        push_long(in_.number<std::uint32_t>());
        break;
      case 'G': {  // BINFLOAT, big-endian
        std::uint64_t bits = 0;
        for (const std::byte byte : in_.take(8)) {
          bits = bits << 8 | std::to_integer<std::uint64_t>(byte);
        }
        push_new({.kind = PickleKind::real, .integer = static_cast<std::int64_t>(bits)});
        break;
      }
      case 'X':  // BINUNICODE
        push_text(in_.number<std::uint32_t>());
        break;
      case 0x8C:  // SHORT_BINUNICODE
        push_text(in_.number<std::uint8_t>());
        break;
      case 0x8D:  // BINUNICODE8
        push_text(in_.number<std::uint64_t>());
        break;
      case 'B':  // BINBYTES
        push_bytes(in_.number<std::uint32_t>());
        break;
      case 'C':  // SHORT_BINBYTES
        push_bytes(in_.number<std::uint8_t>());
        break;
      case 0x8E:  // BINBYTES8
      case 0x96:  // BYTEARRAY8
        push_bytes(in_.number<std::uint64_t>());
        break;

      case '(':  // MARK
        stack_.mark();
        break;
      case ')':  // EMPTY_TUPLE
        stack_.push(empty_tuple);
        break;
      case 't':  // TUPLE
        push_tuple(stack_.pop_to_mark());
        break;
      case 0x85:  // TUPLE1
      case 0x86:  // TUPLE2
      case 0x87:  // TUPLE3
        push_tuple(stack_.pop_many(code - 0x84U));
        break;
      case ']':  // EMPTY_LIST
        push_new({.kind = PickleKind::list});
        break;
      case 'a': {  // APPEND
        const std::vector<PickleRef> item = stack_.pop_many(1);
        extend(PickleKind::list, item);
        break;
      }
      case 'e': {  // APPENDS
        const std::vector<PickleRef> items = stack_.pop_to_mark();
        extend(PickleKind::list, items);
        break;
      }
      case '}':  // EMPTY_DICT
        push_new({.kind = PickleKind::dict});
        break;
      case 's': {  // SETITEM
        const std::vector<PickleRef> item = stack_.pop_many(2);
        extend(PickleKind::dict, item);
        break;
      }
      case 'u': {  // SETITEMS
        const std::vector<PickleRef> items = stack_.pop_to_mark();
        extend(PickleKind::dict, items);
        break;
      }
      case 0x8F:  // EMPTY_SET
        stack_.push(inert_value);
        break;
      case 0x90:  // ADDITEMS, to a set
        stack_.pop_to_mark();
        in_.require(values_[stack_.top()].kind == PickleKind::inert, "expected a set to add to");
        break;
      case 0x91:  // FROZENSET
        stack_.pop_to_mark();
        stack_.push(inert_value);
        break;

      case 'c': {  // GLOBAL
        const std::string_view module = in_.line();
        push_name(module, in_.line());
        break;
      }
      case 0x93: {  // STACK_GLOBAL
        const std::string_view name = pop_text();
        push_name(pop_text(), name);
        break;
      }
      case 'R':  // REDUCE
        reduce();
        break;
      case 'b': {  // BUILD: attributes, which are not looked at; those of a state_dict: _metadata
        stack_.pop();
        const PickleKind kind = values_[stack_.top()].kind;
        in_.require(
            kind == PickleKind::dict || kind == PickleKind::inert || kind == PickleKind::call,
            "expected an object to give attributes to");
        break;
      }
      case 'Q': {  // BINPERSID: torch's storages
        const PickleValue& id = values_[stack_.pop()];
        in_.require(id.kind == PickleKind::tuple && id.items.size() == 5,
                    "expected a storage as a tuple of 5 values");
        push_new({.kind = PickleKind::storage, .items = id.items});
        break;
      }

      case 'q':  // BINPUT
        stack_.memoize(in_.number<std::uint8_t>());
        break;
      case 'r':  // LONG_BINPUT
        stack_.memoize(in_.number<std::uint32_t>());
        break;
      case 0x94:  // MEMOIZE
        stack_.memoize_next();
        break;
      case 'h':  // BINGET
        stack_.recall(in_.number<std::uint8_t>());
        break;
      case 'j':  // LONG_BINGET
        stack_.recall(in_.number<std::uint32_t>());
        break;
      default:
        in_.fail_here("unknown instruction ", int{code},
                      ": expected a pickle as torch.save writes it, protocol 2 to 5");
    }
    return false;
  }

  PickleBytes in_;
  std::deque<PickleValue> values_;  // a deque: it grows without a second copy, and nothing moves
  PickleStack stack_{in_};
  PickleRef root_ = none_value;
};

}  // namespace recur::inline RECUR_ABI::detail
