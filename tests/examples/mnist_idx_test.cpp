// SPDX-License-Identifier: MIT
//
// The reader of MNIST's files: what it reads, and that each kind of broken file is one clear error.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <zlib.h>

#include "fuzz/idx_reader.hpp"
#include "mnist/idx.hpp"

namespace mnist_idx_test {
namespace {

using Bytes = std::vector<std::uint8_t>;

void put32(Bytes& bytes, std::uint32_t value) {
  for (const int shift : {24, 16, 8, 0}) {
    bytes.push_back(static_cast<std::uint8_t>(value >> shift));
  }
}

Bytes image_file(std::uint32_t count, std::uint32_t announced, std::uint32_t magic = 0x803,
                 std::uint32_t rows = 28, std::uint32_t columns = 28) {
  Bytes bytes;
  for (const std::uint32_t field : {magic, announced, rows, columns}) {
    put32(bytes, field);
  }
  for (std::uint32_t k = 0; k < count * 784; ++k) {
    bytes.push_back(static_cast<std::uint8_t>(k * 31 % 256));
  }
  return bytes;
}

Bytes label_file(const Bytes& labels, std::uint32_t announced, std::uint32_t magic = 0x801) {
  Bytes bytes;
  put32(bytes, magic);
  put32(bytes, announced);
  bytes.insert(bytes.end(), labels.begin(), labels.end());
  return bytes;
}

Bytes gzip(const Bytes& plain) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  Bytes zipped(deflateBound(&stream, static_cast<uLong>(plain.size())));
  Bytes input = plain;
  stream.next_in = input.data();
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = zipped.data();
  stream.avail_out = static_cast<uInt>(zipped.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  zipped.resize(stream.total_out);
  deflateEnd(&stream);
  return zipped;
}

Bytes operator+(Bytes left, const Bytes& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

/// A folder of its own, deleted at the end.
class MnistIdx : public testing::Test {
 protected:
  void SetUp() override {
    const testing::TestInfo* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::path(testing::TempDir()) /
              (std::string("recur_mnist_idx_") + test->name());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path write(const std::string& name, const Bytes& bytes) const {
    const std::filesystem::path path = folder_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    return path;
  }

  /// The message of the DataError that reading these two files throws.
  std::string error_of(const Bytes& images, const Bytes& labels) const {
    const auto image_path = write("images", images);
    const auto label_path = write("labels", labels);
    try {
      mnist::load_idx(image_path, label_path);
    } catch (const mnist::DataError& error) {
      return error.what();
    }
    return "no error";
  }

  /// Expects the error to begin with the file and to contain each of `parts`.
  void expect_error(const Bytes& images, const Bytes& labels, const std::string& file,
                    const std::vector<std::string>& parts) const {
    const std::string error = error_of(images, labels);
    EXPECT_EQ(error.find((folder_ / file).string() + ": "), 0U) << error;
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
    for (const std::string& part : parts) {
      EXPECT_NE(error.find(part), std::string::npos) << error << "\nlacks: " << part;
    }
  }

  void write_four(const std::string& folder) const {
    write(folder + "/train-images-idx3-ubyte", images_);
    write(folder + "/train-labels-idx1-ubyte.gz", gzip(labels_));
    write(folder + "/t10k-images.idx3-ubyte", images_);
    write(folder + "/t10k-labels.idx1-ubyte.gz", gzip(labels_));
  }

  std::filesystem::path folder_;
  Bytes images_ = image_file(2, 2);
  Bytes labels_ = label_file({7, 3}, 2);
};

TEST_F(MnistIdx, ReadsPlainAndGzipWhateverTheName) {
  for (const bool zipped : {false, true}) {
    const auto images = write("a.bin", zipped ? gzip(images_) : images_);
    const auto labels = write("b.gz", zipped ? labels_ : gzip(labels_));
    const mnist::Dataset data = mnist::load_idx(images, labels);
    ASSERT_EQ(data.size(), 2U);
    EXPECT_EQ(data.labels, (Bytes{7, 3}));
    EXPECT_EQ(data.images, Bytes(images_.begin() + 16, images_.end()));
  }
}

TEST_F(MnistIdx, WrongMagic) {
  expect_error(image_file(2, 2, 0x801), labels_, "images",
               {"byte 0: expected the magic number of images, 2051, got 2049"});
  expect_error(images_, label_file({7, 3}, 2, 0x803), "labels",
               {"byte 0: expected the magic number of labels, 2049, got 2051"});
  expect_error(gzip(image_file(2, 2, 7)), labels_, "images",
               {"byte 0 of the unzipped data: expected", "2051, got 7"});
}

TEST_F(MnistIdx, WrongSizeOfImages) {
  expect_error(image_file(2, 2, 0x803, 27), labels_, "images",
               {"byte 8: expected rows: 28, got 27"});
  expect_error(image_file(2, 2, 0x803, 28, 784), labels_, "images",
               {"byte 12: expected columns: 28, got 784"});
}

TEST_F(MnistIdx, CountsThatDiffer) {
  expect_error(images_, label_file({7, 3, 1}, 3), "labels",
               {"byte 4: expected as many labels as images in", "2, got 3"});
}

TEST_F(MnistIdx, NoItems) {
  expect_error(image_file(0, 0), label_file({}, 0), "images", {"byte 4", "at least one", "got 0"});
}

TEST_F(MnistIdx, LabelAboveNine) {
  expect_error(images_, label_file({7, 10}, 2), "labels",
               {"byte 9: expected a label 0 ... 9, got 10"});
  expect_error(images_, gzip(label_file({255, 10}, 2)), "labels", {"byte 8", "got 255"});
}

TEST_F(MnistIdx, TrailingData) {
  expect_error(images_ + Bytes{0}, labels_, "images",
               {"byte 1584: expected a file of 1584 bytes, got 1585"});
  expect_error(images_, labels_ + Bytes{1}, "labels", {"byte 10: expected a file of 10 bytes"});
  expect_error(gzip(images_ + Bytes{0}), labels_, "images",
               {"byte 1584 of the unzipped data: expected the end of the data, got more bytes"});
  expect_error(gzip(images_) + Bytes{0}, labels_, "images",
               {"of the file: expected the end, got more"});
  expect_error(gzip(images_) + gzip(images_), labels_, "images", {"expected the end, got more"});
}

TEST_F(MnistIdx, AbsurdCountsAllocateNothing) {
  // 4294967295 images would be 3.4 TB.
  expect_error(image_file(2, 0xFFFFFFFF), labels_, "images",
               {"byte 1584: expected a file of 3367254359296 bytes, got 1584"});
  expect_error(gzip(image_file(2, 0xFFFFFFFF)), labels_, "images",
               {"byte 4", "fits a gzip file of", "3367254359296 bytes announced"});
  expect_error(images_, label_file({7, 3}, 0xFFFFFFFF), "labels", {"byte 4", "2, got 4294967295"});
}

TEST_F(MnistIdx, GzipThatInflatesToMoreThanAnnounced) {
  Bytes bomb = images_;
  bomb.resize(std::size_t{64} << 20);
  expect_error(gzip(bomb), labels_, "images", {"byte 1584", "expected the end of the data"});
}

TEST_F(MnistIdx, GzipThatInflatesToLess) {
  expect_error(gzip(image_file(2, 3)), labels_, "images",
               {"byte 1584 of the unzipped data: expected 2368 bytes, got the end of the file"});
}

TEST_F(MnistIdx, TruncatedAtEveryByte) {
  const Bytes zipped = gzip(images_);
  for (const Bytes& whole : {images_, zipped}) {
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      const std::string error = error_of(cut, labels_);
      ASSERT_EQ(error.find((folder_ / "images").string() + ": byte "), 0U) << size << ' ' << error;
      ASSERT_NE(error.find("expected"), std::string::npos) << size << ' ' << error;
    }
  }
  const Bytes zipped_labels = gzip(labels_);
  for (const Bytes& whole : {labels_, zipped_labels}) {
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      const std::string error = error_of(images_, cut);
      ASSERT_EQ(error.find((folder_ / "labels").string() + ": byte "), 0U) << size << ' ' << error;
    }
  }
}

TEST_F(MnistIdx, GzipWithAWrongByteAnywhere) {
  const Bytes whole = gzip(images_);
  const Bytes right(images_.begin() + 16, images_.end());
  for (std::size_t k = 0; k < whole.size(); ++k) {
    Bytes broken = whole;
    broken[k] ^= 0x55;
    const auto image_path = write("images", broken);
    const auto label_path = write("labels", labels_);
    // Some bytes of gzip's header (time, system) mean nothing: then the images must be the right
    // ones.
    try {
      ASSERT_EQ(mnist::load_idx(image_path, label_path).images, right) << k;
      ASSERT_LT(k, 10U);
    } catch (const mnist::DataError& error) {
      ASSERT_EQ(std::string(error.what()).find(image_path.string() + ": byte "), 0U)
          << k << ' ' << error.what();
    }
  }
}

// The files that tests/fuzz/run.sh begins with, and those that once did harm: as they are, and with
// a few bytes changed. They load or give a DataError, nothing else.
TEST_F(MnistIdx, CorpusAndMutations) {
  std::mt19937 random(3);
  int count = 0;
  const auto read = [&](const std::string& text) {
    try {
      recur::fuzz::read_idx(std::as_bytes(std::span(text)), folder_);
      return true;
    } catch (const mnist::DataError&) {
      return false;
    }
  };
  for (const auto& entry :
       std::filesystem::directory_iterator(RECUR_TESTS_DIR "/fuzz/corpus/idx")) {
    SCOPED_TRACE(entry.path().string());
    std::ifstream stream(entry.path(), std::ios::binary);
    const std::string text(std::istreambuf_iterator<char>(stream), {});
    count += read(text) ? 1 : 0;
    for (int k = 0; k < 500; ++k) {
      std::string changed = text;
      for (std::size_t changes = 1 + random() % 3; changes > 0; --changes) {
        changed[random() % changed.size()] = static_cast<char>(random());
      }
      read(changed);
    }
  }
  EXPECT_GE(count, 3);
}

TEST_F(MnistIdx, MissingFileAndFolder) {
  const auto labels = write("labels", labels_);
  EXPECT_THROW(mnist::load_idx(folder_ / "nothing", labels), mnist::DataError);
  EXPECT_THROW(mnist::load_idx(folder_, labels), mnist::DataError);
}

TEST_F(MnistIdx, FindsTheGivenFolder) {
  write_four("given");
  const auto mnist = mnist::find_mnist(folder_ / "given");
  ASSERT_TRUE(mnist.has_value());
  EXPECT_EQ(mnist->train.size(), 2U);
  EXPECT_EQ(mnist->test.labels, (Bytes{7, 3}));
  EXPECT_EQ(mnist->source, (folder_ / "given").string());
}

TEST_F(MnistIdx, SaysWhatTheGivenFolderLacks) {
  write("given/train-images-idx3-ubyte", images_);
  write("given/t10k-labels-idx1-ubyte.gz", labels_);
  const auto error_in = [](const std::filesystem::path& folder) -> std::string {
    try {
      mnist::find_mnist(folder);
    } catch (const mnist::DataError& error) {
      return error.what();
    }
    return "no error";
  };
  const std::string error = error_in(folder_ / "given");
  EXPECT_NE(error.find("missing: train-labels-idx1-ubyte, t10k-images-idx3-ubyte"),
            std::string::npos)
      << error;
  EXPECT_NE(error_in(folder_ / "nowhere").find("no such folder"), std::string::npos);
}

#ifndef _WIN32
/// Puts the working directory and the variables back, also when a test ends early.
class Surroundings {
 public:
  Surroundings() {
    for (const char* name : {"HOME", "MNIST_DIR", "XDG_CACHE_HOME"}) {
      const char* value = std::getenv(name);
      variables_.emplace_back(name,
                              value != nullptr ? std::optional<std::string>(value) : std::nullopt);
      unsetenv(name);
    }
  }
  ~Surroundings() {
    std::filesystem::current_path(folder_);
    for (const auto& [name, value] : variables_) {
      value ? setenv(name, value->c_str(), 1) : unsetenv(name);
    }
  }
  Surroundings(const Surroundings&) = delete;
  Surroundings& operator=(const Surroundings&) = delete;

 private:
  std::filesystem::path folder_ = std::filesystem::current_path();
  std::vector<std::pair<const char*, std::optional<std::string>>> variables_;
};

TEST_F(MnistIdx, SearchesTheUsualPlaces) {
  const Surroundings surroundings;
  std::filesystem::current_path(folder_);
  setenv("HOME", (folder_ / "home").c_str(), 1);

  EXPECT_FALSE(mnist::find_mnist({}).has_value());
  write("mnist/train-images-idx3-ubyte", images_);  // incomplete: passed over
  EXPECT_FALSE(mnist::find_mnist({}).has_value());
  const auto source = [] {
    const auto found = mnist::find_mnist({});
    return found ? found->source : "nothing found";
  };
  write_four("home/.cache/recur/mnist");
  EXPECT_EQ(source(), (folder_ / "home/.cache/recur/mnist").string());
  write_four("data/MNIST/raw");
  EXPECT_EQ(source(), "data/MNIST/raw");
  write_four("elsewhere");
  setenv("MNIST_DIR", (folder_ / "elsewhere").c_str(), 1);
  EXPECT_EQ(source(), (folder_ / "elsewhere").string());
}
#endif

}  // namespace
}  // namespace mnist_idx_test
