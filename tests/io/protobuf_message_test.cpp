// SPDX-License-Identifier: MIT
#include "recur/io/protobuf_message.hpp"

#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/compare.hpp"
#include "support/protobuf_writer.hpp"

namespace protobuf_message_test {
namespace {

namespace protobuf = recur::test::protobuf;
using recur::ProtobufField;
using recur::ProtobufMessage;

ProtobufMessage message_of(const std::string& bytes) {
  return {std::as_bytes(std::span(bytes)), "m"};
}

TEST(ProtobufMessage, FieldsOfEveryType) {
  // 150 as a varint is 96 01: the example of protobuf's own documentation, field 1: 08 96 01.
  EXPECT_EQ(protobuf::number(1, 150), std::string("\x08\x96\x01"));
  const std::string bytes = protobuf::number(1, 150) + protobuf::number(2, -1) +
                            protobuf::fixed(3, 1.5F) + protobuf::fixed(4, 2.5) +
                            protobuf::bytes(536870911, "text");
  std::vector<std::string> seen;
  const ProtobufMessage message = message_of(bytes);
  message.for_each_field([&](const ProtobufField& field) {
    switch (field.id) {
      case 1:
        EXPECT_EQ(message.number(field), 150);
        break;
      case 2:
        EXPECT_EQ(message.number(field), -1);
        break;
      case 3:
        EXPECT_EQ(message.real(field), 1.5F);
        break;
      case 4:
        EXPECT_EQ(std::bit_cast<double>(field.value), 2.5);
        break;
      default:
        EXPECT_EQ(field.id, 536870911U);  // the largest there is
        EXPECT_EQ(message.text(field), "text");
    }
    seen.push_back(std::to_string(field.type));
  });
  EXPECT_EQ(seen, (std::vector<std::string>{"0", "0", "5", "1", "2"}));
}

TEST(ProtobufMessage, RepeatedNumbersPackedAndNot) {
  const std::string bytes =
      protobuf::number(1, 7) + protobuf::bytes(1, protobuf::varint(300) + protobuf::varint(0));
  std::vector<std::uint64_t> numbers;
  const ProtobufMessage message = message_of(bytes);
  message.for_each_field([&](const ProtobufField& field) {
    message.for_each_number(field, [&](std::uint64_t value) { numbers.push_back(value); });
  });
  EXPECT_EQ(numbers, (std::vector<std::uint64_t>{7, 300, 0}));
}

void read_all(const std::string& bytes) {
  message_of(bytes).for_each_field([](const ProtobufField&) {});
}

TEST(ProtobufMessage, BrokenFields) {
  read_all("");
  const std::string text = "m: no protobuf message: the field at byte 2 of ";
  const std::string good = protobuf::number(1, 0);
  EXPECT_ERROR(read_all(good + '\x08'), text + "3 is broken or cut off");
  EXPECT_ERROR(read_all(good + '\0'), text);                     // field 0
  EXPECT_ERROR(read_all(good + "\x0B\x0C"), text);               // groups
  EXPECT_ERROR(read_all(good + '\x0F'), text);                   // no type
  EXPECT_ERROR(read_all(good + std::string(11, '\xFF')), text);  // too long a varint
  EXPECT_ERROR(read_all(good + protobuf::varint(std::uint64_t{1} << 40)), text);  // too large a tag
  EXPECT_ERROR(read_all(good + "\x0A\x05"
                               "1234"),
               text);
  EXPECT_ERROR(read_all(good + '\x0A' + protobuf::varint(~std::uint64_t{0}) + "1234"), text);
  EXPECT_ERROR(read_all(good + "\x0D"
                               "123"),
               text);
  EXPECT_ERROR(read_all(good + "\x09"
                               "1234567"),
               text);
}

TEST(ProtobufMessage, FieldOfAnotherType) {
  const std::string bytes = protobuf::number(3, 5);
  const ProtobufMessage message = message_of(bytes);
  message.for_each_field([&](const ProtobufField& field) {
    EXPECT_ERROR(message.text(field), "m: field 3: expected protobuf's type 2, got 0");
    EXPECT_ERROR(message.real(field), "m: field 3: expected protobuf's type 5, got 0");
    EXPECT_ERROR(message.message(field, "x"), "m: field 3: expected protobuf's type 2, got 0");
  });
  const std::string cut = protobuf::bytes(1, "\x80");
  const ProtobufMessage numbers = message_of(cut);
  numbers.for_each_field([&](const ProtobufField& field) {
    EXPECT_ERROR(numbers.for_each_number(field, [](std::uint64_t) {}),
                 "m: no protobuf message: field 1 holds a number that is broken or cut off");
    EXPECT_ERROR(numbers.number(field), "m: field 1: expected protobuf's type 0, got 2");
  });
}

}  // namespace
}  // namespace protobuf_message_test
