/* UTF-8: every boundary of RFC 3629, and each code point once against a slow encoder. */
#include "lib/sbx_utf8.h"

#include "t/unit/tap.h"

#define CASE(bytes, valid, name)                                                                             \
    {                                                                                                        \
        bytes, sizeof(bytes) - 1, valid, name                                                                \
    }

static const struct {
    const char *bytes;
    size_t len;
    bool valid;
    const char *name;
} cases[] = {
    CASE("", true, "nothing"),
    CASE("plain ASCII that is longer than a word", true, "ASCII"),
    CASE("a\0b", true, "NUL"),
    CASE("\xc2\x80", true, "U+0080"),
    CASE("\xdf\xbf", true, "U+07FF"),
    CASE("\xe0\xa0\x80", true, "U+0800"),
    CASE("\xed\x9f\xbf", true, "U+D7FF"),
    CASE("\xee\x80\x80", true, "U+E000"),
    CASE("\xef\xbf\xbf", true, "U+FFFF"),
    CASE("\xf0\x90\x80\x80", true, "U+10000"),
    CASE("\xf4\x8f\xbf\xbf", true, "U+10FFFF"),
    CASE("\x80", false, "a lone continuation"),
    CASE("\xbf", false, "another"),
    CASE("\xc0\x80", false, "NUL in two bytes"),
    CASE("\xc1\xbf", false, "ASCII in two bytes"),
    CASE("\xe0\x9f\xbf", false, "two bytes' worth in three"),
    CASE("\xf0\x8f\xbf\xbf", false, "three bytes' worth in four"),
    CASE("\xed\xa0\x80", false, "the first surrogate"),
    CASE("\xed\xbf\xbf", false, "the last surrogate"),
    CASE("\xf4\x90\x80\x80", false, "U+110000"),
    CASE("\xf5\x80\x80\x80", false, "a first byte past U+10FFFF"),
    CASE("\xf8\x88\x80\x80\x80", false, "five bytes"),
    CASE("\xff", false, "0xFF"),
    CASE("\xfe", false, "0xFE"),
    CASE("\xc2", false, "two bytes cut"),
    CASE("\xe2\x82", false, "three bytes cut"),
    CASE("\xf0\x9f\x98", false, "four bytes cut"),
    CASE("\xe2\x82z", false, "a letter inside a character"),
    CASE("1234567\xff", false, "a bad byte at the end of a word"),
    CASE("12345678\xc2", false, "a cut character after a word"),
};

static size_t
encode(char out[4], uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | (code >> 6));
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | (code >> 12));
        out[1] = (char)(0x80 | ((code >> 6) & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | (code >> 18));
    out[1] = (char)(0x80 | ((code >> 12) & 0x3f));
    out[2] = (char)(0x80 | ((code >> 6) & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

static void
test_every_code_point(void)
{
    uint32_t code, wrong = 0;
    char bytes[4];

    for (code = 0; code < 0x120000; code++) {
        bool valid = code < 0x110000 && (code < 0xd800 || code > 0xdfff);
        size_t len = encode(bytes, code);

        wrong += (sbx_utf8_sequence(bytes, len) == len) != valid;
        wrong += valid && len > 1 && sbx_utf8_sequence(bytes, len - 1) != 0;
        wrong += valid && sbx_utf8_unfinished(bytes, len) != 0;
        for (size_t cut = 1; valid && cut < len; cut++) {
            wrong += sbx_utf8_unfinished(bytes, cut) != cut;
        }
    }
    is_uint(wrong, 0, "every code point up to U+11FFFF, whole and cut");
    is_uint(sbx_utf8_unfinished("", 0), 0, "nothing is whole");
    is_uint(sbx_utf8_unfinished("a\xe2\x82", 3), 2, "a cut character behind a letter");
    is_uint(sbx_utf8_unfinished("\x82\x82\x82\x82", 4), 0, "tails begin nothing");
    is_uint(sbx_utf8_unfinished("\xff", 1), 0, "nor does what never does");
    is_uint(sbx_utf8_unfinished("\xed\xa0", 2), 0, "nor half a surrogate pair");
}

int
main(void)
{
    size_t i;

    for (i = 0; i < SBX_COUNT(cases); i++) {
        is_int(sbx_utf8_valid(cases[i].bytes, cases[i].len), cases[i].valid, "%s", cases[i].name);
    }
    test_every_code_point();
    return done_testing();
}
