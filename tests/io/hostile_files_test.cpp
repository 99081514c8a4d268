// SPDX-License-Identifier: MIT
//
// All readers, given files that are cut short, changed or made to harm: they load or throw a
// recur::Error, nothing else. tests/fuzz/run.sh looks for worse ones.
#include <cstdint>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "recur/io/load_tensors.hpp"
#include "recur/io/zip_writer.hpp"

#include "fuzz/readers.hpp"
#include "support/files.hpp"

namespace hostile_files_test {
namespace {

using recur::test::bytes_of_text;
using recur::test::exported_file;
using recur::test::read_text;

// Reads with each reader that could be meant; true: at least one of them took the file.
bool reads(const std::string& file) {
  bool taken = false;
  for (const auto reader :
       {recur::fuzz::read_safetensors, recur::fuzz::read_torch, recur::fuzz::read_npy}) {
    try {
      recur::fuzz::touch(reader(bytes_of_text(file)));
      taken = true;
    } catch (const recur::Error& error) {
      EXPECT_EQ(std::string(error.what()).rfind("file.", 0), 0U) << error.what();
    }
  }
  return taken;
}

// The small files of export_files.py that load.
std::vector<std::string> valid_files() {
  std::vector<std::string> names{"state_dict.safetensors",
                                 "state_dict.pt",
                                 "state_dict_protocol4.pt",
                                 "checkpoint.pt",
                                 "views.pt",
                                 "dtypes.pt",
                                 "tensor.pt",
                                 "list.pt",
                                 "arrays.npz",
                                 "float32.npy",
                                 "fortran.npy",
                                 "big_endian.npy",
                                 "scalar.npy",
                                 "empty.npy",
                                 "version2.npy",
                                 "version3.npy"};
#ifdef RECUR_HAS_ZLIB
  names.push_back("compressed.npz");
#endif
  return names;
}

TEST(HostileFiles, TruncatedAtEveryByte) {
  for (const std::string& name : valid_files()) {
    const std::string file = read_text(exported_file(name));
    EXPECT_TRUE(reads(file)) << name;
    for (std::size_t size = 0; size < file.size(); ++size) {
      ASSERT_FALSE(reads(file.substr(0, size))) << name << ", the first " << size << " bytes";
    }
    EXPECT_FALSE(reads(file + '\0')) << name;
  }
}

// A few bytes replaced, removed, repeated or exchanged for numbers that are at some limit.
std::string mutated(std::string file, std::mt19937& random) {
  const auto below = [&](std::size_t limit) { return random() % limit; };
  for (std::size_t changes = 1 + below(3); changes > 0 && !file.empty(); --changes) {
    const std::size_t at = below(file.size());
    switch (below(5)) {
      case 0:
        file[at] = static_cast<char>(file[at] ^ (1 << below(8)));
        break;
      case 1:
        file[at] = static_cast<char>(random());
        break;
      case 2:
        file.erase(at, 1 + below(8));
        break;
      case 3:
        file.insert(at, file.substr(below(file.size()), 1 + below(16)));
        break;
      default: {
        const std::size_t width = std::size_t{1} << below(4);
        const std::uint64_t values[] = {0, ~std::uint64_t{0}, std::uint64_t{1} << 63, 0x7FFFFFFF};
        const std::string number = recur::test::raw(values[below(4)]).substr(0, width);
        file.replace(at, std::min(width, file.size() - at), number);
      }
    }
  }
  return file;
}

TEST(HostileFiles, Mutations) {
  std::mt19937 random(1);
  for (const std::string& name : valid_files()) {
    const std::string file = read_text(exported_file(name));
    for (int k = 0; k < 2000; ++k) {
      reads(mutated(file, random));
    }
  }
}

// In archives the checksums catch most of what the test above does: here they are made anew.
TEST(HostileFiles, MutationsOfEntries) {
  std::mt19937 random(2);
  int taken = 0;
  for (const std::string& name : valid_files()) {
    const std::string file = read_text(exported_file(name));
    if (!file.starts_with("PK")) {
      continue;
    }
    const recur::ZipFile old(bytes_of_text(file), name);
    for (int k = 0; k < 2000; ++k) {
      const std::size_t chosen = random() % old.entries().size();
      recur::ZipWriter zip;
      for (const recur::ZipEntry& entry : old.entries()) {
        const recur::ZipContents contents = old.contents(entry);
        const std::string text = recur::test::text_of_bytes(contents.bytes);
        const bool is_chosen = &entry == &old.entries()[chosen];
        zip.add(std::string(entry.name), bytes_of_text(is_chosen ? mutated(text, random) : text));
      }
      taken += reads(recur::test::text_of_bytes(zip.bytes())) ? 1 : 0;
    }
  }
  EXPECT_GT(taken, 100);  // values of elements, say
}

// Files that once did harm, and those that run.sh begins with.
TEST(HostileFiles, Corpus) {
  std::size_t count = 0;
  for (const char* folder :
       {"/golden/files", "/fuzz/corpus/safetensors", "/fuzz/corpus/torch", "/fuzz/corpus/npy"}) {
    const std::filesystem::path path = std::string(RECUR_TESTS_DIR) + folder;
    if (!std::filesystem::exists(path)) {
      continue;
    }
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
      SCOPED_TRACE(entry.path().string());
      reads(read_text(entry.path()));
      ++count;
    }
  }
  EXPECT_GE(count, 27U);
}

}  // namespace
}  // namespace hostile_files_test
