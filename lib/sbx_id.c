#include "sbx_id.h"

#include <endian.h>
#include <stdatomic.h>
#include <string.h>

#include "sbx_crypto.h"
#include "sbx_time.h"

#define ID_PREFIX 3
#define ID_ORDER_BITS 16 /* behind the 48 of the time */
#define ID_BYTES 16
#define ID_REST (ID_BYTES - (int)sizeof(uint64_t))
#define ID_DIGITS 26

static const char id_alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

/* 128 bits as 26 digits of 5: the first holds only the top 3 bits, so that order by text is order by time. */
static void
encode_base32(char out[ID_DIGITS + 1], const uint8_t bytes[ID_BYTES])
{
    uint64_t high, low;
    unsigned digit;

    memcpy(&high, bytes, sizeof(high));
    memcpy(&low, bytes + sizeof(high), sizeof(low));
    high = be64toh(high);
    low = be64toh(low);
    for (digit = ID_DIGITS; digit > 0; digit--) {
        out[digit - 1] = id_alphabet[low & 31u];
        low = low >> 5 | high << 59;
        high >>= 5;
    }
    out[ID_DIGITS] = '\0';
}

/* Milliseconds above 16 bits of order. Of a millisecond the first takes any of the lower half, so that as many more follow. */
static uint64_t
next_birth(uint16_t random)
{
    static _Atomic uint64_t last;
    uint64_t birth, seen = atomic_load(&last);

    do {
        birth = sbx_now_unix_ms() << ID_ORDER_BITS | (random >> 1);
        if (birth <= seen) {
            birth = seen + 1;
        }
    } while (!atomic_compare_exchange_weak(&last, &seen, birth));
    return birth;
}

static int
id_of(struct sbx_id *ret, const char *prefix, uint64_t birth, const uint8_t rest[ID_REST])
{
    uint8_t bytes[ID_BYTES];

    if (strlen(prefix) != ID_PREFIX) {
        return -EINVAL;
    }
    birth = htobe64(birth);
    memcpy(bytes, &birth, sizeof(birth));
    memcpy(bytes + sizeof(birth), rest, ID_REST);

    memcpy(ret->text, prefix, ID_PREFIX);
    ret->text[ID_PREFIX] = '_';
    encode_base32(ret->text + ID_PREFIX + 1, bytes);
    return 0;
}

int
sbx_id_new(struct sbx_id *ret, const char *prefix)
{
    uint8_t random[SBX_ID_RANDOM];
    uint16_t order;
    int r;

    r = sbx_random(random, sizeof(random));
    if (r != 0) {
        return r;
    }
    memcpy(&order, random, sizeof(order));
    return id_of(ret, prefix, next_birth(order), random + sizeof(order));
}

int
sbx_id_from(struct sbx_id *ret, const char *prefix, const uint8_t random[SBX_ID_RANDOM])
{
    uint64_t birth = sbx_now_unix_ms() << ID_ORDER_BITS | (uint64_t)random[0] << 8 | random[1];

    return id_of(ret, prefix, birth, random + sizeof(uint16_t));
}

bool
sbx_id_valid(const char *text, size_t len, const char *prefix)
{
    size_t i;

    if (len != SBX_ID_LEN || strlen(prefix) != ID_PREFIX || memcmp(text, prefix, ID_PREFIX) != 0 ||
        text[ID_PREFIX] != '_') {
        return false;
    }
    /* A first digit above 7 would be a 129th bit: a second spelling of nothing. */
    if (text[ID_PREFIX + 1] < '0' || text[ID_PREFIX + 1] > '7') {
        return false;
    }
    for (i = ID_PREFIX + 1; i < len; i++) {
        if (text[i] == '\0' || strchr(id_alphabet, text[i]) == NULL) {
            return false;
        }
    }
    return true;
}
