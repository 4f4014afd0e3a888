/* A size, then a header's value: a part lies inside of the thing, and a list of tags is read within its bounds. */
#include "executor/api/range.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct range_piece piece;
    struct range range;
    uint64_t whole;
    char *text;

    if (size < sizeof(whole)) {
        return 0;
    }
    memcpy(&whole, data, sizeof(whole));
    whole &= INT64_MAX;
    text = strndup((const char *)data + sizeof(whole), size - sizeof(whole));
    assert(text != NULL);
    range_parse(&range, text, whole);
    if (range.kind == RANGE_PART) {
        assert(range.length > 0 && range.first < whole && range.length <= whole - range.first);
    } else if (range.kind == RANGE_WHOLE) {
        assert(range.first == 0 && range.length == whole);
    }
    if (range_piece_parse(&piece, text)) {
        assert(piece.length > 0 && piece.first < piece.total && piece.length <= piece.total - piece.first);
    }
    (void)range_tag_in(text, "\"a\"", true); /* only that it ends, within its bounds */
    free(text);
    return 0;
}
