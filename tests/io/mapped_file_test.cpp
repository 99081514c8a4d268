// SPDX-License-Identifier: MIT
#include "recur/io/mapped_file.hpp"

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#if __has_include(<sys/stat.h>)
#include <sys/stat.h>
#endif

#include <gtest/gtest.h>

#include "recur/io/atomic_file.hpp"

#include "support/compare.hpp"
#include "support/temporary_folder.hpp"

namespace mapped_file_test {
namespace {

using recur::MappedFile;
using recur::test::TemporaryFolder;

void write(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::string text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

TEST(MappedFile, HoldsTheContents) {
  const TemporaryFolder folder;
  const std::string text = std::string("zero \0 byte", 11) + std::string(100000, 'x') + "end";
  write(folder / "file", text);
  const MappedFile file(folder / "file");
  EXPECT_EQ(file.name(), (folder / "file").string());
  EXPECT_EQ(text_of(file), text);
#ifdef __linux__
  EXPECT_TRUE(file.is_mapped());
#endif
}

TEST(MappedFile, EmptyFile) {
  const TemporaryFolder folder;
  write(folder / "file", "");
  const MappedFile file(folder / "file");
  EXPECT_TRUE(file.bytes().empty());
}

TEST(MappedFile, Moves) {
  const TemporaryFolder folder;
  write(folder / "a", "first");
  write(folder / "b", "second");
  MappedFile a(folder / "a");
  MappedFile b(folder / "b");
  MappedFile moved(std::move(a));
  EXPECT_EQ(text_of(moved), "first");
  b = std::move(moved);
  EXPECT_EQ(text_of(b), "first");
  EXPECT_EQ(b.name(), (folder / "a").string());
}

// The file under the name is another one then: the mapped one stays.
TEST(MappedFile, KeepsTheContentsOfAFileThatIsReplaced) {
  const TemporaryFolder folder;
  write(folder / "file", "old");
  const MappedFile file(folder / "file");
  const std::string text = "new contents";
  recur::write_file_atomically(folder / "file", std::as_bytes(std::span(text)));
  EXPECT_EQ(text_of(file), "old");
  EXPECT_EQ(text_of(MappedFile(folder / "file")), "new contents");
}

TEST(MappedFile, ErrorsNameTheFile) {
  const TemporaryFolder folder;
  EXPECT_ERROR(MappedFile(folder / "none"), "none: cannot be opened: No such file");
  EXPECT_ERROR(MappedFile(folder.path()),
               folder.path().string() + ": expected a file, got a directory");
#ifdef __linux__
  EXPECT_ERROR(MappedFile("/dev/null"), "/dev/null: cannot be read: not a regular file");
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);  // nobody writes into it: must not wait
  EXPECT_ERROR(MappedFile(folder / "pipe"), "pipe: cannot be read: not a regular file");
#endif
}

// What has no length of its own (/proc) is read as it says it is: empty.
#ifdef __linux__
TEST(MappedFile, FilesOfTheKernel) { EXPECT_TRUE(MappedFile("/proc/self/status").bytes().empty()); }
#endif

}  // namespace
}  // namespace mapped_file_test
