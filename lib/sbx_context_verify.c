/*
 * Reading a context: nothing of a header is parsed before its MAC is right.
 *
 * Its members come in two parts (lib/sbx_context_sign.c), and what the first one says is kept for some identities, with
 * its text and the MAC's state after it, so that a request costs its own part. What was kept is only used for a header that
 * begins with the same text, and whose MAC, which covers that text, is right. A header whose first part is an object of
 * its members by itself is always read in two parts, so that it says the same whether that one was known or not. There is
 * nothing to forget when a token or a policy ends: each request's header is signed anew, and its time is its own.
 */
#include <stdlib.h>
#include <string.h>

#include "sbx_context.h"
#include "sbx_context_members.h"
#include "sbx_crypto.h"
#include "sbx_hash.h"
#include "sbx_json.h"

#define VERSION_PREFIX SBX_CONTEXT_VERSION
#define VERSION_LEN (sizeof(VERSION_PREFIX) - 1)
#define MAC_TEXT 43 /* 32 bytes in base64url */
#define N_SETS 64
#define N_WAYS 4

/*
 * The second part's first member in base64url: the signer lets it begin a group, and six bytes are two groups. No member of
 * the first part can hold it, since texts have no quote; who signs otherwise is read as a whole.
 */
#define OWN_BEGIN "InJpZCI6" /* "rid": */
#define OWN_BEGIN_LEN (sizeof(OWN_BEGIN) - 1)

/* The parts of a context, as bits: a header has both. */
enum { PART_COMMON = 1, PART_OWN = 2, PART_BOTH = PART_COMMON | PART_OWN };

static const struct {
    const char *key;
    unsigned part;
} optional[] = {
    { "bypass", PART_COMMON }, { "gateway", PART_COMMON }, { "limits", PART_OWN },
    { "iso", PART_OWN },       { "iso_min", PART_OWN },
};

/* The first part of a header, and what it says. */
struct context_known {
    uint64_t hash;
    struct sbx_context context; /* of the second part nothing */
    struct sbx_hmac_head *mac;
    size_t len;
    char text[];
};

struct sbx_context_verifier {
    struct sbx_hmac *hmac;
    struct context_known *known[N_SETS][N_WAYS]; /* by a hash of the text; NULL: none yet */
};

static struct context_known *
known_free(struct context_known *known)
{
    if (known != NULL) {
        sbx_hmac_head_free(known->mac);
        free(known);
    }
    return NULL;
}

static void
known_freep(struct context_known **known)
{
    known_free(*known);
}

struct sbx_context_verifier *
sbx_context_verifier_free(struct sbx_context_verifier *verifier)
{
    size_t i;

    if (verifier != NULL) {
        for (i = 0; i < (size_t)N_SETS * N_WAYS; i++) {
            known_free(verifier->known[i / N_WAYS][i % N_WAYS]);
        }
        sbx_hmac_free(verifier->hmac);
        free(verifier);
    }
    return NULL;
}

static void
verifier_freep(struct sbx_context_verifier **verifier)
{
    sbx_context_verifier_free(*verifier);
}

int
sbx_context_verifier_new(struct sbx_context_verifier **ret, const void *key, size_t key_len)
{
    _cleanup_(verifier_freep) struct sbx_context_verifier *verifier = NULL;
    int r;

    if (key_len < SBX_CONTEXT_KEY_MIN) {
        return -EINVAL;
    }
    verifier = calloc(1, sizeof(*verifier));
    if (verifier == NULL) {
        return -ENOMEM;
    }
    r = sbx_hmac_new(&verifier->hmac, key, key_len);
    if (r != 0) {
        return r;
    }

    *ret = steal(&verifier);
    return 0;
}

static bool
read_text(struct sbx_context *context, const json_t *object, const struct sbx_context_text *member)
{
    const json_t *value = json_object_get(object, member->key);
    size_t len;

    if (!json_is_string(value)) {
        return false;
    }
    len = json_string_length(value);
    if (!sbx_context_text_fits(member, json_string_value(value), len)) {
        return false;
    }
    memcpy((char *)context + member->offset, json_string_value(value), len + 1);
    return true;
}

static bool
read_number(struct sbx_context *context, const json_t *object, const struct sbx_context_number *member)
{
    const json_t *value = json_object_get(object, member->key);
    char *at = (char *)context + member->offset;
    uint64_t large;
    uint32_t small;

    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return false;
    }
    large = (uint64_t)json_integer_value(value);
    if (member->size != sizeof(small)) {
        memcpy(at, &large, sizeof(large));
        return true;
    }
    if (large > UINT32_MAX) {
        return false;
    }
    small = (uint32_t)large;
    memcpy(at, &small, sizeof(small));
    return true;
}

/* Text and number members of the parts must be there, the others may, nothing else is. */
static bool
known_only(const json_t *object, unsigned parts)
{
    size_t i, n = 0;

    n += (parts & PART_COMMON) != 0 ? SBX_CONTEXT_TEXTS_COMMON + SBX_CONTEXT_NUMBERS_COMMON : 0;
    n += (parts & PART_OWN) != 0
             ? SBX_CONTEXT_TEXTS + SBX_CONTEXT_NUMBERS - SBX_CONTEXT_TEXTS_COMMON - SBX_CONTEXT_NUMBERS_COMMON
             : 0;
    for (i = 0; i < SBX_COUNT(optional); i++) {
        n += (optional[i].part & parts) != 0 && json_object_get(object, optional[i].key) != NULL ? 1 : 0;
    }
    return json_object_size(object) == n;
}

static bool
read_texts(struct sbx_context *context, const json_t *object, size_t from, size_t to)
{
    size_t i;

    for (i = from; i < to; i++) {
        if (!read_text(context, object, &sbx_context_texts[i])) {
            return false;
        }
    }
    return true;
}

static bool
read_numbers(struct sbx_context *context, const json_t *object, size_t from, size_t to)
{
    size_t i;

    for (i = from; i < to; i++) {
        if (!read_number(context, object, &sbx_context_numbers[i])) {
            return false;
        }
    }
    return true;
}

static bool
read_limits(struct sbx_context *context, const json_t *object)
{
    const json_t *limits = json_object_get(object, "limits");
    struct sbx_field_error err;

    context->has_limits = limits != NULL;
    return limits == NULL || (sbx_limits_from_json(&context->limits, limits, "/limits", &err) &&
                              sbx_context_limits_complete(&context->limits));
}

static bool
read_tier(const json_t *object, const char *key, enum sbx_isolation *ret)
{
    const json_t *value = json_object_get(object, key);

    if (value == NULL) {
        return true;
    }
    *ret = json_is_string(value) ? sbx_isolation_parse(json_string_value(value)) : SBX_ISOLATION_NONE;
    return *ret != SBX_ISOLATION_NONE;
}

static bool
read_common(struct sbx_context *context, const json_t *object)
{
    const json_t *bypass = json_object_get(object, "bypass");
    const json_t *gateway = json_object_get(object, "gateway");

    if (!json_is_boolean(bypass) || (gateway != NULL && !json_is_true(gateway))) {
        return false;
    }
    context->bypass = json_is_true(bypass);
    context->gateway = gateway != NULL;
    return read_texts(context, object, 0, SBX_CONTEXT_TEXTS_COMMON) &&
           read_numbers(context, object, 0, SBX_CONTEXT_NUMBERS_COMMON);
}

static bool
read_own(struct sbx_context *context, const json_t *object)
{
    return read_texts(context, object, SBX_CONTEXT_TEXTS_COMMON, SBX_CONTEXT_TEXTS) &&
           read_numbers(context, object, SBX_CONTEXT_NUMBERS_COMMON, SBX_CONTEXT_NUMBERS) &&
           read_limits(context, object) && read_tier(object, "iso", &context->isolation) &&
           read_tier(object, "iso_min", &context->min_isolation);
}

/* An object that has the members of these parts and no others. */
static int
read_parts(struct sbx_context *context, const struct sbx_buf *json, unsigned parts)
{
    _cleanup_(sbx_json_decrefp) json_t *object = NULL;
    struct sbx_field_error err;
    int r;

    r = sbx_json_parse(&object, json->data, json->len, &err);
    if (r != 0) {
        return r < 0 ? r : SBX_CONTEXT_E_FORM;
    }
    return json_is_object(object) && known_only(object, parts) &&
                   ((parts & PART_COMMON) == 0 || read_common(context, object)) &&
                   ((parts & PART_OWN) == 0 || read_own(context, object))
               ? 0
               : SBX_CONTEXT_E_FORM;
}

static int
read_whole(struct sbx_context *context, const char *text, size_t len)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(SBX_CONTEXT_MAX);

    if (!sbx_b64url_decode(&json, text, len)) {
        return json.failed ? -ENOMEM : SBX_CONTEXT_E_FORM;
    }
    return read_parts(context, &json, PART_BOTH);
}

/* The second part alone: its brace stands before the first one. */
static int
read_rest(struct sbx_context *context, const char *text, size_t len)
{
    char memory[SBX_CONTEXT_MAX];
    struct sbx_buf json = SBX_BUF_OVER(memory);

    sbx_buf_putc(&json, '{');
    if (!sbx_b64url_decode(&json, text, len)) {
        return json.failed ? -ENOMEM : SBX_CONTEXT_E_FORM;
    }
    return read_parts(context, &json, PART_OWN);
}

/* The first part alone: what follows its last comma are spaces, and its brace is the second one's. */
static int
read_first(struct sbx_context *context, const char *text, size_t len)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(SBX_CONTEXT_MAX);

    if (!sbx_b64url_decode(&json, text, len)) {
        return json.failed ? -ENOMEM : SBX_CONTEXT_E_FORM;
    }
    while (json.len > 0 && json.data[json.len - 1] == ' ') {
        json.len--;
    }
    if (json.len == 0 || json.data[json.len - 1] != ',') {
        return SBX_CONTEXT_E_FORM;
    }
    json.data[json.len - 1] = '}';
    return read_parts(context, &json, PART_COMMON);
}

/* How long the first part is, the version with it; 0 when it is not to be seen. */
static size_t
first_len(const char *value, size_t signed_len)
{
    const char *found;
    size_t at;

    for (at = VERSION_LEN; at < signed_len; at++) {
        found = memmem(value + at, signed_len - at, OWN_BEGIN, OWN_BEGIN_LEN);
        if (found == NULL) {
            return 0;
        }
        at = (size_t)(found - value);
        if ((at - VERSION_LEN) % 4 == 0) {
            return at;
        }
    }
    return 0;
}

static bool
known_is(const struct context_known *known, uint64_t hash, const char *text, size_t len)
{
    return known != NULL && known->hash == hash && known->len == len && memcmp(known->text, text, len) == 0;
}

static struct context_known **
known_set(struct sbx_context_verifier *verifier, uint64_t hash)
{
    return verifier->known[(hash >> 32) % N_SETS];
}

static void
known_put(struct context_known **set, size_t way, struct context_known *known)
{
    for (; way > 0; way--) {
        set[way] = set[way - 1];
    }
    set[0] = known;
}

static const struct context_known *
known_get(struct sbx_context_verifier *verifier, const char *text, size_t len)
{
    const uint64_t hash = sbx_hash(text, len);
    struct context_known **set = known_set(verifier, hash), *known;
    size_t way;

    for (way = 0; way < N_WAYS; way++) {
        known = set[way];
        if (known_is(known, hash, text, len)) {
            known_put(set, way, known);
            return known;
        }
    }
    return NULL;
}

/*
 * Of a header whose MAC is right; in the place of the one that its set used longest ago. *ret stays NULL when it is no
 * first part by itself: somebody else's form, read as a whole each time.
 */
static int
known_add(struct sbx_context_verifier *verifier, const char *text, size_t len,
          const struct context_known **ret)
{
    _cleanup_(known_freep) struct context_known *known = NULL;
    struct context_known **set;
    int r;

    known = calloc(1, sizeof(*known) + len);
    if (known == NULL) {
        return -ENOMEM;
    }
    r = read_first(&known->context, text + VERSION_LEN, len - VERSION_LEN);
    if (r != 0) {
        return r == SBX_CONTEXT_E_FORM ? 0 : r;
    }
    r = sbx_hmac_head_new(&known->mac, verifier->hmac, text, len);
    if (r != 0) {
        return r;
    }
    known->hash = sbx_hash(text, len);
    known->len = len;
    memcpy(known->text, text, len);

    set = known_set(verifier, known->hash);
    known_free(set[N_WAYS - 1]);
    known_put(set, N_WAYS - 1, known);
    *ret = steal(&known);
    return 0;
}

static int
check_mac(struct sbx_context_verifier *verifier, const struct context_known *known, const char *value,
          size_t signed_len)
{
    char memory[SBX_SHA256_LEN + 1];
    struct sbx_buf given = SBX_BUF_OVER(memory);
    uint8_t mac[SBX_SHA256_LEN];
    int r;

    if (!sbx_b64url_decode(&given, value + signed_len + 1, MAC_TEXT) || given.len != sizeof(mac)) {
        return SBX_CONTEXT_E_FORM;
    }
    r = known != NULL
            ? sbx_hmac_after(verifier->hmac, known->mac, value + known->len, signed_len - known->len, mac)
            : sbx_hmac(verifier->hmac, value, signed_len, mac);
    if (r != 0) {
        return r;
    }
    return sbx_equal_const_time(mac, given.data, sizeof(mac)) ? 0 : SBX_CONTEXT_E_MAC;
}

/* The header's members, checked by its MAC first. */
static int
read_signed(struct sbx_context *context, struct sbx_context_verifier *verifier, const char *value,
            size_t signed_len)
{
    const size_t first = first_len(value, signed_len);
    const struct context_known *known = first == 0 ? NULL : known_get(verifier, value, first);
    int r;

    r = check_mac(verifier, known, value, signed_len);
    if (r != 0) {
        return r;
    }
    if (known == NULL && first != 0) {
        r = known_add(verifier, value, first, &known);
        if (r != 0) {
            return r;
        }
    }
    if (known != NULL) {
        *context = known->context;
        return read_rest(context, value + first, signed_len - first);
    }
    memset(context, 0, sizeof(*context));
    return read_whole(context, value + VERSION_LEN, signed_len - VERSION_LEN);
}

int
sbx_context_verify(struct sbx_context *ret, struct sbx_context_verifier *verifier, const char *value,
                   size_t len, uint64_t now_ms)
{
    struct sbx_context context;
    size_t signed_len;
    int r;

    if (len > SBX_CONTEXT_MAX || len < VERSION_LEN + 1 + MAC_TEXT ||
        memcmp(value, VERSION_PREFIX, VERSION_LEN) != 0) {
        return SBX_CONTEXT_E_FORM;
    }
    signed_len = len - MAC_TEXT - 1;
    if (value[signed_len] != '.') {
        return SBX_CONTEXT_E_FORM;
    }

    r = read_signed(&context, verifier, value, signed_len);
    if (r != 0) {
        return r;
    }
    if (context.issued_ms > now_ms ? context.issued_ms - now_ms > SBX_CONTEXT_SKEW_MS
                                   : now_ms - context.issued_ms > SBX_CONTEXT_LIFE_MS) {
        return SBX_CONTEXT_E_TIME;
    }

    *ret = context;
    return 0;
}
