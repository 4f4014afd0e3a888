/* Range, Content-Range and lists of tags: single byte ranges, and everything else that a header may say. */
#include "executor/api/range.h"

#include "t/unit/tap.h"

static void
part(const char *text, uint64_t size, uint64_t first, uint64_t length)
{
    struct range range;

    range_parse(&range, text, size);
    ok(range.kind == RANGE_PART && range.first == first && range.length == length, "%s of %" PRIu64, text,
       size);
}

static void
other(const char *text, uint64_t size, enum range_kind kind)
{
    struct range range;

    range_parse(&range, text, size);
    ok(range.kind == kind && (kind != RANGE_WHOLE || (range.first == 0 && range.length == size)),
       "%s of %" PRIu64, text == NULL ? "none" : text, size);
}

static void
test_ranges(void)
{
    static const char *const ignored[] = {
        "",
        "bytes",
        "bytes=",
        "bytes=a-b",
        "bytes=-",
        "bytes=5-4",
        "bytes=0-1,3-4",
        "lines=0-1",
        "bytes 0-1",
        "bytes=0-1x",
        "bytes=+1-",
        "bytes=0x1-2",
        "bytes=1- 2",
        "bytes=--1",
        "bytes=-1-",
        "bytes=1-2-",
        "bytes=1-2-3",
        " bytes=0-1",
        "bytes=-1,",
        "bytes=1",
        "bytes=,",
        "bytes=99999999999999999999-",
        "bytes=0-99999999999999999999",
        "bytes=-99999999999999999999",
        "bytes=9223372036854775808-",
    };
    char text[RANGE_TEXT_MAX];
    struct range range;

    part("bytes=0-0", 10, 0, 1);
    part("bytes=0-", 10, 0, 10);
    part("bytes=9-", 10, 9, 1);
    part("BYTES=2-4", 10, 2, 3);
    part("bytes=2-400", 10, 2, 8);
    part("bytes=0-9223372036854775807", 10, 0, 10);
    part("bytes=-3", 10, 7, 3);
    part("bytes=-30", 10, 0, 10);
    part("bytes= 1-2 ", 10, 1, 2);
    part("bytes=9223372036854775806-", INT64_MAX, INT64_MAX - 1, 1);
    other(NULL, 10, RANGE_WHOLE);
    for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++) {
        other(ignored[i], 10, RANGE_WHOLE);
    }
    other("bytes=10-", 10, RANGE_UNSATISFIABLE);
    other("bytes=10-20", 10, RANGE_UNSATISFIABLE);
    other("bytes=0-", 0, RANGE_UNSATISFIABLE);
    other("bytes=-1", 0, RANGE_UNSATISFIABLE);
    other("bytes=-0", 10, RANGE_UNSATISFIABLE);

    range_parse(&range, "bytes=2-4", 10);
    range_text(text, &range, 10);
    is_str(text, "bytes 2-4/10", "as told with a 206");
    range_parse(&range, "bytes=10-", 10);
    range_text(text, &range, 10);
    is_str(text, "bytes */10", "as told with a 416");
}

static void
test_pieces(void)
{
    static const char *const refused[] = {
        "",
        "bytes",
        "bytes 0-4",
        "bytes 0-4/*",
        "bytes */10",
        "bytes 5-4/10",
        "bytes 0-10/10",
        "bytes=0-4/10",
        "bytes 0-4/10 x",
        "bytes -4/10",
        "bytes 0-/10",
        "bytes 0-4/",
        "items 0-4/10",
        "bytes 0-4/99999999999999999999",
        "bytes 0-9223372036854775808/9223372036854775809",
        "bytes0-4/10",
        "bytes 0 -4/10",
        "bytes 0-4/0",
    };
    struct range_piece piece;

    ok(range_piece_parse(&piece, "bytes 0-4/10") && piece.first == 0 && piece.length == 5 &&
           piece.total == 10,
       "a piece");
    ok(range_piece_parse(&piece, "bytes 9-9/10") && piece.first == 9 && piece.length == 1, "the last byte");
    ok(range_piece_parse(&piece, "bytes 0-9223372036854775806/9223372036854775807"), "as large as they get");
    ok(!range_piece_parse(&piece, NULL), "none is none");
    for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
        ok(!range_piece_parse(&piece, refused[i]), "not \"%s\"", refused[i]);
    }
}

static void
test_tags(void)
{
    static const char *const without[] = { "",       "a",      "\"ab\"",      "\"", "\"a",      "a\"",
                                           "\"a\"b", "x\"a\"", "\"b\",\"c\"", "**", "\"b,\"a\"" };

    ok(range_tag_in("\"a\"", "\"a\"", false), "the tag");
    ok(range_tag_in("\"b\", \"a\"", "\"a\"", false), "the second");
    ok(range_tag_in("\"b\",\"a\",\"c\"", "\"a\"", false), "in the middle");
    ok(range_tag_in("*", "\"a\"", false), "any");
    ok(range_tag_in("W/\"a\"", "\"a\"", true), "weakly");
    ok(!range_tag_in("W/\"a\"", "\"a\"", false), "which is not strongly");
    ok(range_tag_in("W/\"a\", \"a\"", "\"a\"", false), "both ways");
    for (size_t i = 0; i < sizeof(without) / sizeof(*without); i++) {
        ok(!range_tag_in(without[i], "\"a\"", true), "not in %s", without[i]);
    }
}

int
main(void)
{
    test_ranges();
    test_pieces();
    test_tags();
    return done_testing();
}
