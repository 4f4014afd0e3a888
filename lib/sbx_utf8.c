/* RFC 3629, table of well-formed sequences: the second byte's range depends on the first. */
#include "sbx_utf8.h"

#include <string.h>

#define ASCII_MASK 0x8080808080808080u
#define LONGEST 4

static bool
is_tail(char c)
{
    return ((uint8_t)c & 0xc0) == 0x80;
}

static bool
in_range(char c, unsigned low, unsigned high)
{
    return (uint8_t)c >= low && (uint8_t)c <= high;
}

static size_t
sequence3(const char *s, size_t len)
{
    uint8_t first = (uint8_t)s[0];
    unsigned low = first == 0xe0 ? 0xa0 : 0x80;
    unsigned high = first == 0xed ? 0x9f : 0xbf;

    return len >= 3 && in_range(s[1], low, high) && is_tail(s[2]) ? 3 : 0;
}

static size_t
sequence4(const char *s, size_t len)
{
    uint8_t first = (uint8_t)s[0];
    unsigned low = first == 0xf0 ? 0x90 : 0x80;
    unsigned high = first == 0xf4 ? 0x8f : 0xbf;

    return len >= 4 && in_range(s[1], low, high) && is_tail(s[2]) && is_tail(s[3]) ? 4 : 0;
}

size_t
sbx_utf8_sequence(const char *data, size_t len)
{
    uint8_t first;

    if (len == 0) {
        return 0;
    }

    first = (uint8_t)data[0];
    if (first < 0x80) {
        return 1;
    }
    if (first >= 0xc2 && first <= 0xdf) {
        return len >= 2 && is_tail(data[1]) ? 2 : 0;
    }
    if (first >= 0xe0 && first <= 0xef) {
        return sequence3(data, len);
    }
    if (first >= 0xf0 && first <= 0xf4) {
        return sequence4(data, len);
    }
    return 0;
}

bool
sbx_utf8_valid(const char *data, size_t len)
{
    size_t i = 0, n;
    uint64_t word;

    while (i < len) {
        if (len - i >= sizeof(word)) {
            memcpy(&word, data + i, sizeof(word));
            if ((word & ASCII_MASK) == 0) {
                i += sizeof(word);
                continue;
            }
        }
        n = (uint8_t)data[i] < 0x80 ? 1 : sbx_utf8_sequence(data + i, len - i);
        if (n == 0) {
            return false;
        }
        i += n;
    }
    return true;
}

size_t
sbx_utf8_unfinished(const char *data, size_t len)
{
    for (size_t back = 1; back < LONGEST && back <= len; back++) {
        char whole[LONGEST] = { (char)0x80, (char)0x80, (char)0x80, (char)0x80 };
        uint8_t first = (uint8_t)data[len - back];

        if ((first & 0xc0) == 0x80) {
            continue;
        }
        if (first < 0xc2 || first > 0xf4) {
            return 0;
        }
        if (back == 1) {
            return 1; /* whatever follows decides */
        }
        memcpy(whole, data + len - back, back);
        return sbx_utf8_sequence(whole, sizeof(whole)) > back ? back : 0;
    }
    return 0;
}
