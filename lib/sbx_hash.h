/*
 * A hash for tables of which nobody suffers when two keys fall together: places of a cache that compares the bytes too and
 * holds a bounded number of them.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t
sbx_hash(const void *data, size_t len)
{
    const uint8_t *bytes = data;
    uint64_t hash = len, word = 0;
    size_t i;

    for (i = 0; i + sizeof(word) <= len; i += sizeof(word)) {
        memcpy(&word, bytes + i, sizeof(word));
        hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
        hash ^= hash >> 29;
    }
    word = 0;
    memcpy(&word, bytes + i, len - i);
    hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
    return hash ^ hash >> 32;
}
