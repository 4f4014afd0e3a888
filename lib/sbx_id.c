#include "sbx_id.h"

#include <endian.h>
#include <string.h>

#include "sbx_crypto.h"
#include "sbx_time.h"

#define ID_PREFIX 3
#define ID_TIME_BYTES 6
#define ID_BYTES (ID_TIME_BYTES + SBX_ID_RANDOM)
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

int
sbx_id_new(struct sbx_id *ret, const char *prefix)
{
    uint8_t random[SBX_ID_RANDOM];
    int r;

    r = sbx_random(random, sizeof(random));
    return r != 0 ? r : sbx_id_from(ret, prefix, random);
}

int
sbx_id_from(struct sbx_id *ret, const char *prefix, const uint8_t random[SBX_ID_RANDOM])
{
    uint8_t bytes[ID_BYTES];
    uint64_t now = sbx_now_unix_ms();
    unsigned i;

    if (strlen(prefix) != ID_PREFIX) {
        return -EINVAL;
    }

    for (i = 0; i < ID_TIME_BYTES; i++) {
        bytes[i] = (uint8_t)(now >> (8 * (ID_TIME_BYTES - 1 - i)));
    }
    memcpy(bytes + ID_TIME_BYTES, random, SBX_ID_RANDOM);

    memcpy(ret->text, prefix, ID_PREFIX);
    ret->text[ID_PREFIX] = '_';
    encode_base32(ret->text + ID_PREFIX + 1, bytes);
    return 0;
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
