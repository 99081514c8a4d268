// SPDX-License-Identifier: MIT
#include "recur/io/atomic_file.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>

#ifdef __linux__
#include <csignal>
#include <sys/resource.h>
#endif

#include <gtest/gtest.h>

#include "support/compare.hpp"
#include "support/temporary_folder.hpp"

namespace {

using recur::test::TemporaryFolder;

void write(const std::filesystem::path& path, std::string_view text) {
  recur::write_file_atomically(path, std::as_bytes(std::span(text)));
}

std::string contents_of(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

TEST(AtomicFile, WritesAndReplaces) {
  const TemporaryFolder folder;
  const auto path = folder / "file";
  for (const char* text : {"a longer text", "short", ""}) {
    write(path, text);
    EXPECT_EQ(contents_of(path), text);
    EXPECT_EQ(folder.count(), 1U);  // no temporary file is left
  }
}

TEST(AtomicFile, ReplacesTheFileBehindALink) {
  const TemporaryFolder folder;
  write(folder / "file", "old");
  std::filesystem::create_symlink("file", folder / "link");
  write(folder / "link", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(contents_of(folder / "file"), "new");
}

TEST(AtomicFile, FailureLeavesNothing) {
  const TemporaryFolder folder;
  EXPECT_ERROR(write(folder / "no" / "file", "text"), "file: cannot be written: No such file");
  EXPECT_ERROR(write(folder.path(), "text"),
               "cannot be written: it exists and is not a regular file");
  EXPECT_EQ(folder.count(), 0U);
#ifdef __linux__
  EXPECT_ERROR(write("/dev/null", "text"),
               "/dev/null: cannot be written: it exists and is not a regular file");
#endif
}

#ifdef __linux__
TEST(AtomicFile, BrokenOffKeepsTheOldFile) {
  const TemporaryFolder folder;
  const auto path = folder / "file";
  write(path, "old");
  // No file may grow beyond 64 bytes: writing breaks off in the middle, as on a full disk.
  rlimit unlimited{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{64, unlimited.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  const std::string text = recur::test::error_of([&] { write(path, std::string(100000, 'x')); });
  setrlimit(RLIMIT_FSIZE, &unlimited);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(text.find("file: cannot be written: File too large"), std::string::npos) << text;
  EXPECT_EQ(contents_of(path), "old");
  EXPECT_EQ(folder.count(), 1U);
}
#endif

}  // namespace
