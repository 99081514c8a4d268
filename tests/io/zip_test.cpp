// SPDX-License-Identifier: MIT
#include "recur/io/zip.hpp"

#include <cstdint>
#include <string>

#include <gtest/gtest.h>

#include "support/files.hpp"

namespace zip_test {
namespace {

using recur::ZipFile;
using recur::test::archive;
using recur::test::bytes_of_text;
using recur::test::exported_file;
using recur::test::raw;
using recur::test::read_text;
using recur::test::text_of_bytes;

ZipFile parse(const std::string& file) { return ZipFile(bytes_of_text(file), "test.zip"); }

std::string contents(const ZipFile& zip, const std::string& name) {
  return text_of_bytes(zip.contents(*zip.find(name)).bytes);
}

// An archive of one entry "a" with the contents "xyz", made from its fields: without zip64.
struct Archive {
  std::uint16_t flags = 0;
  std::uint16_t method = 0;
  std::uint32_t crc = 0xEB8EBA67;  // zlib.crc32(b"xyz")
  std::uint32_t packed = 3;
  std::uint32_t size = 3;
  std::uint32_t offset = 0;
  std::uint16_t disk = 0;
  std::string extra;
  // Of the header beside the contents, and of the end record, where they say something else.
  std::string local_name = "a";
  std::uint16_t local_flags = 0;
  std::uint16_t local_method = 0;
  std::uint32_t local_crc = 0xEB8EBA67;
  std::uint32_t local_packed = 3;
  std::uint32_t local_size = 3;
  std::string local_extra;
  std::uint16_t count = 1;
  std::uint32_t directory_offset = 0;  // added to the right one
  std::string after;                   // of the central directory
  std::string comment;

  std::string text() const {
    const std::string entry =
        "PK\3\4" +
        raw(std::uint16_t{10}, local_flags, local_method, std::uint32_t{0}, local_crc, local_packed,
            local_size, static_cast<std::uint16_t>(local_name.size()),
            static_cast<std::uint16_t>(local_extra.size())) +
        local_name + local_extra + "xyz";
    const std::string directory =
        "PK\1\2" +
        raw(std::uint16_t{10}, std::uint16_t{10}, flags, method, std::uint32_t{0}, crc, packed,
            size, std::uint16_t{1}, static_cast<std::uint16_t>(extra.size()), std::uint16_t{0},
            disk, std::uint16_t{0}, std::uint32_t{0}, offset) +
        "a" + extra + after;
    return entry + directory + "PK\5\6" +
           raw(std::uint32_t{0}, count, count, static_cast<std::uint32_t>(directory.size()),
               static_cast<std::uint32_t>(entry.size()) + directory_offset,
               static_cast<std::uint16_t>(comment.size())) +
           comment;
  }
};

#define EXPECT_ZIP_ERROR(changes, part)  \
  do {                                   \
    SCOPED_TRACE(#changes);              \
    Archive z;                           \
    changes;                             \
    EXPECT_ERROR(parse(z.text()), part); \
  } while (false)

TEST(Zip, ReadsWhatItsWriterWrites) {
  const std::string file = archive({{"b/one", "contents"}, {"empty", ""}, {"a", "xyz"}});
  const ZipFile zip = parse(file);
  ASSERT_EQ(zip.entries().size(), 3U);
  EXPECT_EQ(zip.entries()[0].name, "b/one");
  EXPECT_FALSE(zip.entries()[0].deflated);
  EXPECT_EQ(contents(zip, "b/one"), "contents");
  EXPECT_EQ(contents(zip, "empty"), "");
  EXPECT_EQ(contents(zip, "a"), "xyz");
  EXPECT_EQ(zip.find("b"), nullptr);
  EXPECT_EQ(zip.name(), "test.zip");
  // Stored entries are not copied.
  const auto bytes = zip.contents(*zip.find("a")).bytes;
  EXPECT_GE(reinterpret_cast<const char*>(bytes.data()), file.data());
  EXPECT_LT(reinterpret_cast<const char*>(bytes.data()), file.data() + file.size());
}

TEST(Zip, ReadsArchivesWithoutZip64) {
  const std::string file = Archive{}.text();
  EXPECT_EQ(contents(parse(file), "a"), "xyz");
  Archive with_comment;
  with_comment.comment = "PK\5\6 is not always the end";
  EXPECT_EQ(contents(parse(with_comment.text()), "a"), "xyz");
  EXPECT_TRUE(parse("PK\5\6" + std::string(18, '\0')).entries().empty());
}

TEST(Zip, SizesAfterTheContents) {  // flag 8, as PyTorch writes it
  Archive z;
  z.flags = z.local_flags = 8;
  z.local_crc = z.local_packed = z.local_size = 0;
  EXPECT_EQ(contents(parse(z.text()), "a"), "xyz");
  z.local_packed = z.local_size = 0xFFFFFFFF;  // as Python does when it writes to a pipe
  z.local_extra = raw(std::uint16_t{1}, std::uint16_t{16}, std::uint64_t{0}, std::uint64_t{0});
  EXPECT_EQ(contents(parse(z.text()), "a"), "xyz");
  z.local_crc = 1;
  EXPECT_ERROR(parse(z.text()), "the header beside the contents 0, 0, 1");
}

TEST(Zip, ReadsFilesOfPyTorchAndPython) {
  const std::string torch = read_text(exported_file("tensor.pt"));
  const ZipFile torch_zip(bytes_of_text(torch), "tensor.pt");
  ASSERT_NE(torch_zip.find("tensor/data/0"), nullptr);
  EXPECT_EQ(contents(torch_zip, "tensor/data/0"), raw(0.F, 1.F, 2.F, 3.F, 4.F, 5.F));

  const std::string numpy = read_text(exported_file("arrays.npz"));
  const ZipFile numpy_zip(bytes_of_text(numpy), "arrays.npz");
  EXPECT_EQ(numpy_zip.entries().size(), 7U);
  EXPECT_TRUE(contents(numpy_zip, "steps.npy").ends_with(raw(std::int64_t{7})));
}

TEST(Zip, DeflatedEntries) {
  const std::string file = read_text(exported_file("compressed.npz"));
  const ZipFile zip(bytes_of_text(file), "compressed.npz");
  ASSERT_TRUE(zip.find("zeros.npy")->deflated);
#ifdef RECUR_HAS_ZLIB
  const recur::ZipContents zeros = zip.contents(*zip.find("zeros.npy"));
  EXPECT_TRUE(text_of_bytes(zeros.bytes).ends_with(std::string(2000, '\0')));
  EXPECT_EQ(zeros.bytes.size(), 2128U);
#else
  EXPECT_ERROR(zip.contents(*zip.find("zeros.npy")), "is deflated");
#endif
}

TEST(Zip, ChecksumsAreVerified) {
  std::string file = archive({{"a", "xyz"}});
  file[file.find("xyz")] ^= 1;
  const ZipFile zip = parse(file);
  EXPECT_ERROR(zip.contents(*zip.find("a")),
               "test.zip: \"a\": expected the CRC-32 3951999591, got");
}

TEST(Zip, WhatIsNotRead) {
  EXPECT_ZIP_ERROR(z.flags = z.local_flags = 1, "test.zip: \"a\": is encrypted");
  EXPECT_ZIP_ERROR(z.flags = z.local_flags = 0x20, "unknown flags 32");
  EXPECT_ZIP_ERROR(z.method = z.local_method = 14, "(method 0 or 8), got method 14");
  EXPECT_ZIP_ERROR(z.disk = 1, "an archive in one piece");
  std::string file = Archive{}.text();
  file[file.size() - 18] = 1;  // number of this disk
  EXPECT_ERROR(parse(file), "an archive in one piece");
}

TEST(Zip, CopiesOfFieldsMustAgree) {
  EXPECT_ZIP_ERROR(z.local_name = "b", "is called \"b\" beside its contents");
  EXPECT_ZIP_ERROR(z.local_size = 4, "the header beside the contents 4, 3,");
  EXPECT_ZIP_ERROR(z.local_packed = 4, "the header beside the contents 3, 4,");
  EXPECT_ZIP_ERROR(z.local_crc = 4, "the header beside the contents 3, 3, 4");
  EXPECT_ZIP_ERROR(z.local_crc = z.local_packed = z.local_size = 0, "the header beside");
  EXPECT_ZIP_ERROR(z.local_method = 8, "flags or method");
  EXPECT_ZIP_ERROR(z.local_flags = 8, "flags or method");
  EXPECT_ZIP_ERROR(z.size = 4, "expected equal sizes, got 4 and 3");
}

TEST(Zip, SizesAndOffsets) {
  EXPECT_ZIP_ERROR(z.size = z.packed = z.local_size = z.local_packed = 4, "before the central");
  EXPECT_ZIP_ERROR(z.size = z.packed = 0xFFFFFFF0, "before the central directory");
  EXPECT_ZIP_ERROR(z.size = z.packed = 0xFFFFFFFF, "before the central directory");
  EXPECT_ZIP_ERROR(z.offset = 1, "expected the header of an entry at byte 1, got other bytes");
  EXPECT_ZIP_ERROR(z.offset = 1000, "got the end of the file");
  EXPECT_ZIP_ERROR(z.offset = 0xFFFFFFFF, "got the end of the file");
  EXPECT_ZIP_ERROR(z.count = 0, "expected 0 entries to fill");
  EXPECT_ZIP_ERROR(z.count = 2, "expected at most 1 entries");
  EXPECT_ZIP_ERROR(z.directory_offset = 1, "expected the central directory");
  EXPECT_ZIP_ERROR(z.after = "x", "expected 1 entries to fill");
  EXPECT_ZIP_ERROR(z.extra = raw(std::uint16_t{7}, std::uint16_t{1}), "longer than all");
  // The 64-bit fields wrap around where they are added up.
  for (const std::uint64_t huge : {~std::uint64_t{0}, ~std::uint64_t{0} - 40}) {
    EXPECT_ZIP_ERROR((z.packed = z.size = 0xFFFFFFFF,
                      z.extra = raw(std::uint16_t{1}, std::uint16_t{16}, huge, huge)),
                     "before the central directory");
    EXPECT_ZIP_ERROR(
        (z.offset = 0xFFFFFFFF, z.extra = raw(std::uint16_t{1}, std::uint16_t{8}, huge)),
        "got the end of the file");
  }
}

TEST(Zip, Zip64EndRecord) {
  const std::string file = archive({{"a", "xyz"}});
  const std::size_t record = file.find("PK\6\6");
  const std::size_t locator = file.find("PK\6\7");
  for (const auto& [at, part] : std::vector<std::pair<std::size_t, std::string>>{
           {record, "the zip64 end record"},
           {record + 4, "does not end where its locator begins"},
           {record + 16, "in one piece"},
           {record + 24, "in one piece"},
           {record + 40, "to end at byte"},
           {record + 48, "to end at byte"},
           {record + 55, "to end at byte"},
           {locator + 4, "in one piece"},
           {locator + 8, "the zip64 end record"},
           {locator + 15, "got the end of the file"}}) {
    std::string changed = file;
    changed[at] ^= 1;
    EXPECT_ERROR(parse(changed), part);
  }
  std::string changed = file;
  changed[file.size() - 10] = 5;  // the size of the central directory in the narrow end record
  EXPECT_ERROR(parse(changed), "say different things");
}

TEST(Zip, NamesAreUniqueAndEntriesApart) {
  std::string file = archive({{"a", "xyz"}, {"b", "uvw"}});
  for (std::size_t at = file.find("b"); at != std::string::npos; at = file.find("b", at + 1)) {
    file[at] = 'a';
  }
  EXPECT_ERROR(parse(file), "test.zip: \"a\": comes twice");

  // The first one's contents hold the second one.
  const std::string inner = archive({{"b", "uvw"}});
  const std::string entry = inner.substr(0, inner.find("PK\1\2"));
  std::string nested = archive({{"a", entry}, {"b", "uvw"}});
  const std::size_t offset = nested.find("PK\1\2", nested.find("PK\1\2") + 1) + 46 + 1 + 4 + 16;
  nested.replace(offset, 8, raw(std::uint64_t{nested.find(entry)}));
  EXPECT_ERROR(parse(nested), "two entries overlap");
}

TEST(Zip, EveryPrefixIsAnError) {
  for (const std::string& file : {Archive{}.text(), archive({{"a", "xyz"}, {"b", ""}})}) {
    for (std::size_t size = 0; size < file.size(); ++size) {
      EXPECT_ERROR(parse(file.substr(0, size)), "test.zip: ");
    }
    EXPECT_ERROR(parse(file + "x"), "test.zip: ");
    EXPECT_ERROR(parse("x" + file), "test.zip: ");
  }
}

}  // namespace
}  // namespace zip_test
