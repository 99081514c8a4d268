// SPDX-License-Identifier: MIT
#include "recur/io/atomic_file.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>

#ifdef __linux__
#include <chrono>
#include <csignal>
#include <random>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#endif

#include <gtest/gtest.h>

#include "support/compare.hpp"
#include "support/temporary_folder.hpp"

namespace atomic_file_test {
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

TEST(AtomicFile, WithoutCommitNothingIsChanged) {
  const TemporaryFolder folder;
  const auto path = folder / "file";
  for (const bool exists : {false, true}) {
    if (exists) {
      write(path, "old");
    }
    {
      recur::AtomicFile file(path);
      file.write(std::as_bytes(std::span("new")));
      EXPECT_EQ(folder.count(), exists ? 2U : 1U);
    }
    EXPECT_EQ(folder.count(), exists ? 1U : 0U);
  }
  EXPECT_EQ(contents_of(path), "old");
}

TEST(AtomicFile, WritesPartAfterPart) {
  const TemporaryFolder folder;
  recur::AtomicFile file(folder / "file");
  for (const std::string_view part : {"one, ", "", "two"}) {
    file.write(std::as_bytes(std::span(part)));
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "file"));
  file.commit();
  EXPECT_EQ(contents_of(folder / "file"), "one, two");
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

// ---- Killed processes ---------------------------------------------------------------------------

// Starts `work` in a process of its own, which waits where `work` ends, and kills it after `delay`,
// or without one as soon as it says by the pipe that it waits.
template <class Work>
void run_and_kill(const Work& work, std::chrono::microseconds delay) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    work();
    (void)!::write(ends[1], "x", 1);
    while (true) {
      pause();
    }
  }
  char byte = 0;
  if (delay.count() > 0) {
    std::this_thread::sleep_for(delay);
  } else {
    EXPECT_EQ(::read(ends[0], &byte, 1), 1);
  }
  kill(child, SIGKILL);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  close(ends[0]);
  close(ends[1]);
}

TEST(AtomicFile, KilledBeforeCommitLeavesTheOldFile) {
  const TemporaryFolder folder;
  const auto path = folder / "file";
  const std::string part(1 << 20, 'n');
  for (int parts = 0; parts < 4; ++parts) {
    write(path, "old");
    recur::AtomicFile* file = nullptr;  // stays open in the process that is killed
    run_and_kill(
        [&] {
          file = new recur::AtomicFile(path);
          for (int k = 0; k < parts; ++k) {
            file->write(std::as_bytes(std::span(part)));
          }
        },
        {});
    EXPECT_EQ(contents_of(path), "old") << parts;
  }
}

TEST(AtomicFile, KilledAfterCommitLeavesTheNewFile) {
  const TemporaryFolder folder;
  write(folder / "file", "old");
  run_and_kill([&] { write(folder / "file", "new"); }, {});
  EXPECT_EQ(contents_of(folder / "file"), "new");
  EXPECT_EQ(folder.count(), 1U);
}

// Whenever it comes: a process that writes again and again a megabyte of one letter.
TEST(AtomicFile, KilledAtAnyTimeLeavesTheOldOrTheNewFile) {
  const TemporaryFolder folder;
  const auto path = folder / "file";
  constexpr std::size_t size = 1 << 20;
  std::mt19937 random(1);
  int replaced = 0;
  for (int round = 0; round < 40; ++round) {
    write(path, std::string(size / 2, '-'));  // no letter that is written later
    run_and_kill(
        [&] {
          for (char letter = 'a';; letter = letter == 'z' ? 'a' : static_cast<char>(letter + 1)) {
            write(path, std::string(size, letter));
          }
        },
        std::chrono::microseconds(100 + random() % 20000));
    const std::string contents = contents_of(path);
    ASSERT_FALSE(contents.empty());
    ASSERT_EQ(contents.size(), contents[0] == '-' ? size / 2 : size);
    ASSERT_EQ(contents, std::string(contents.size(), contents[0]));
    replaced += contents[0] != '-' ? 1 : 0;
  }
  EXPECT_GT(replaced, 0);
}
#endif

}  // namespace
}  // namespace atomic_file_test
