/*
 * Writing a context. Nothing is signed that verify would refuse.
 *
 * The members come in two parts: what requests of one token under one policy have in common, and what each has of its
 * own. A signer keeps the first part of some identities as it stands in the header, and the MAC's state after it, so
 * that a request costs its own part. What was kept is only used for a context that has the same bytes in every member
 * of that part, and holds no MAC: there is nothing to forget when a token or a policy ends.
 */
#include "sbx_context.h"

#include <stdlib.h>
#include <string.h>

#include "sbx_context_members.h"
#include "sbx_crypto.h"
#include "sbx_hash.h"
#include "sbx_jsonw.h"

#define N_SETS 64
#define N_WAYS 4
#define HEAD_USUAL 1536
#define COMMON_MAX                                                                                           \
    (4 * (SBX_NAME_MAX + 1) + 2 * (SBX_SUBJECT_MAX + 1) + SBX_SCOPES_MAX + 1 +                               \
     SBX_CONTEXT_NUMBERS_COMMON * sizeof(uint64_t) + 1)
#define OWN_MAX 1024 /* more than all members of the second part take */

/* The first part of a header. */
struct context_head {
    uint64_t hash;
    size_t common_len;
    uint8_t common[COMMON_MAX]; /* the members it was made of */
    struct sbx_buf text;
    struct sbx_hmac_head *mac;
};

struct sbx_context_signer {
    struct sbx_hmac *hmac;
    struct context_head *head[N_SETS][N_WAYS]; /* by a hash of `common`; NULL: none yet */
};

/* The members of the first part, one after the other: equal bytes are equal members. */
struct context_common {
    uint8_t bytes[COMMON_MAX];
    size_t len;
    uint64_t hash; /* of them all, to tell most others apart at once */
};

static uint64_t
number_get(const struct sbx_context *context, const struct sbx_context_number *member)
{
    const char *at = (const char *)context + member->offset;
    uint64_t large;
    uint32_t small;

    if (member->size == sizeof(small)) {
        memcpy(&small, at, sizeof(small));
        return small;
    }
    memcpy(&large, at, sizeof(large));
    return large;
}

static bool
texts_fit(const struct sbx_context *context, size_t from, size_t to)
{
    const struct sbx_context_text *member;
    const char *text;

    for (member = &sbx_context_texts[from]; member < &sbx_context_texts[to]; member++) {
        text = (const char *)context + member->offset;
        if (!sbx_context_text_fits(member, text, strnlen(text, member->max + 1))) {
            return false;
        }
    }
    return true;
}

static bool
numbers_fit(const struct sbx_context *context, size_t from, size_t to)
{
    size_t i;

    for (i = from; i < to; i++) {
        if (number_get(context, &sbx_context_numbers[i]) > INT64_MAX) {
            return false;
        }
    }
    return true;
}

static bool
common_fits(const struct sbx_context *context)
{
    return texts_fit(context, 0, SBX_CONTEXT_TEXTS_COMMON) &&
           numbers_fit(context, 0, SBX_CONTEXT_NUMBERS_COMMON);
}

static bool
own_fits(const struct sbx_context *context)
{
    return texts_fit(context, SBX_CONTEXT_TEXTS_COMMON, SBX_CONTEXT_TEXTS) &&
           numbers_fit(context, SBX_CONTEXT_NUMBERS_COMMON, SBX_CONTEXT_NUMBERS) &&
           (!context->has_limits || sbx_context_limits_complete(&context->limits)) &&
           (unsigned)context->isolation < SBX_N_ISOLATIONS &&
           (unsigned)context->min_isolation < SBX_N_ISOLATIONS;
}

/* False when a text has no end. */
static bool
common_of(struct context_common *ret, const struct sbx_context *context)
{
    const struct sbx_context_text *member;
    uint64_t number;
    const char *text;
    size_t i, len;

    ret->len = 0;
    for (i = 0; i < SBX_CONTEXT_TEXTS_COMMON; i++) {
        member = &sbx_context_texts[i];
        text = (const char *)context + member->offset;
        len = strnlen(text, member->max + 1);
        if (len > member->max) {
            return false;
        }
        memcpy(ret->bytes + ret->len, text, len + 1);
        ret->len += len + 1;
    }
    for (i = 0; i < SBX_CONTEXT_NUMBERS_COMMON; i++) {
        number = number_get(context, &sbx_context_numbers[i]);
        memcpy(ret->bytes + ret->len, &number, sizeof(number));
        ret->len += sizeof(number);
    }
    ret->bytes[ret->len++] = (uint8_t)((context->bypass ? 1 : 0) | (context->gateway ? 2 : 0));
    ret->hash = sbx_hash(ret->bytes, ret->len);
    return true;
}

/* Of texts that fit: none of them holds anything that JSON escapes. */
static void
texts_write(struct sbx_jsonw *w, const struct sbx_context *context, size_t from, size_t to)
{
    const struct sbx_context_text *member;
    const char *text;

    for (member = &sbx_context_texts[from]; member < &sbx_context_texts[to]; member++) {
        text = (const char *)context + member->offset;
        sbx_jsonw_plain(w, member->key, text, strlen(text));
    }
}

/* What stands before the members of the second part: a whole number of base64's groups, filled up with spaces. */
static int
head_write(struct sbx_buf *out, const struct sbx_context *context)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(SBX_CONTEXT_MAX);
    struct sbx_jsonw w;
    size_t i;

    if (!common_fits(context)) {
        return -EINVAL;
    }
    /* One allocation for what is usual; a failure is the buffer's and seen below. */
    (void)sbx_buf_reserve(&json, HEAD_USUAL);
    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    texts_write(&w, context, 0, SBX_CONTEXT_TEXTS_COMMON);
    for (i = 0; i < SBX_CONTEXT_NUMBERS_COMMON; i++) {
        sbx_jsonw_plain_uint(&w, sbx_context_numbers[i].key, number_get(context, &sbx_context_numbers[i]));
    }
    sbx_jsonw_bool(&w, "bypass", context->bypass);
    if (context->gateway) {
        sbx_jsonw_bool(&w, "gateway", true);
    }
    sbx_buf_putc(&json, ',');
    while (!json.failed && json.len % 3 != 0) {
        sbx_buf_putc(&json, ' ');
    }
    if (json.failed) {
        return -ENOMEM;
    }
    sbx_buf_puts(out, SBX_CONTEXT_VERSION);
    sbx_b64url_encode(out, json.data, json.len);
    return out->failed ? -ENOMEM : 0;
}

/* Absent means that nothing is demanded; the MAC sees to it that nobody took it out. */
static void
write_tier(struct sbx_jsonw *w, const char *key, enum sbx_isolation tier)
{
    if (tier != SBX_ISOLATION_NONE) {
        sbx_jsonw_str(w, key, sbx_isolation_name(tier));
    }
}

/* The second part, without the brace that its writer begins with: the first part has one. */
static int
own_write(struct sbx_buf *out, const struct sbx_context *context)
{
    char memory[OWN_MAX + 1];
    struct sbx_buf json = SBX_BUF_OVER(memory);
    struct sbx_jsonw w;
    size_t i;

    if (!own_fits(context)) {
        return -EINVAL;
    }
    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    texts_write(&w, context, SBX_CONTEXT_TEXTS_COMMON, SBX_CONTEXT_TEXTS);
    for (i = SBX_CONTEXT_NUMBERS_COMMON; i < SBX_CONTEXT_NUMBERS; i++) {
        sbx_jsonw_plain_uint(&w, sbx_context_numbers[i].key, number_get(context, &sbx_context_numbers[i]));
    }
    if (context->has_limits) {
        sbx_limits_write(&w, "limits", &context->limits);
    }
    write_tier(&w, "iso", context->isolation);
    write_tier(&w, "iso_min", context->min_isolation);
    sbx_jsonw_object_end(&w);
    if (json.failed) {
        return -ENOMEM;
    }
    sbx_b64url_encode(out, json.data + 1, json.len - 1);
    return out->failed ? -ENOMEM : 0;
}

static struct context_head *
head_free(struct context_head *head)
{
    if (head != NULL) {
        sbx_buf_deinit(&head->text);
        sbx_hmac_head_free(head->mac);
        free(head);
    }
    return NULL;
}

static void
head_freep(struct context_head **head)
{
    head_free(*head);
}

static int
head_new(struct context_head **ret, const struct sbx_hmac *hmac, const struct sbx_context *context,
         const struct context_common *common)
{
    _cleanup_(head_freep) struct context_head *head = NULL;
    int r;

    head = calloc(1, sizeof(*head));
    if (head == NULL) {
        return -ENOMEM;
    }
    head->text.max = SBX_CONTEXT_MAX;
    r = head_write(&head->text, context);
    r = r != 0 ? r : sbx_hmac_head_new(&head->mac, hmac, head->text.data, head->text.len);
    if (r != 0) {
        return r;
    }
    head->hash = common->hash;
    memcpy(head->common, common->bytes, common->len);
    head->common_len = common->len;

    *ret = steal(&head);
    return 0;
}

static bool
head_is(const struct context_head *head, const struct context_common *common)
{
    return head != NULL && head->hash == common->hash && head->common_len == common->len &&
           memcmp(head->common, common->bytes, common->len) == 0;
}

/* The context's first part: one that is kept, or a new one in the place of the one that its set used longest ago. */
static int
head_get(struct sbx_context_signer *signer, const struct sbx_context *context, struct context_head **ret)
{
    struct context_common common;
    struct context_head **set, *head = NULL;
    size_t way = 0;
    int r;

    if (!common_of(&common, context)) {
        return -EINVAL;
    }
    set = signer->head[(common.hash >> 32) % N_SETS];
    while (way < N_WAYS && !head_is(set[way], &common)) {
        way++;
    }
    if (way < N_WAYS) {
        head = set[way];
    } else {
        r = head_new(&head, signer->hmac, context, &common);
        if (r != 0) {
            return r;
        }
        way = N_WAYS - 1;
        head_free(set[way]);
    }
    for (; way > 0; way--) {
        set[way] = set[way - 1];
    }
    set[0] = head;
    *ret = head;
    return 0;
}

int
sbx_context_signer_sign(struct sbx_context_signer *signer, struct sbx_buf *out,
                        const struct sbx_context *context)
{
    struct context_head *head;
    uint8_t mac[SBX_SHA256_LEN];
    size_t own;
    int r;

    r = head_get(signer, context, &head);
    if (r != 0) {
        return r;
    }
    sbx_buf_append(out, head->text.data, head->text.len);
    own = out->len;
    r = own_write(out, context);
    if (r != 0) {
        return r;
    }
    r = sbx_hmac_after(signer->hmac, head->mac, out->data + own, out->len - own, mac);
    if (r != 0) {
        return r;
    }
    sbx_buf_putc(out, '.');
    sbx_b64url_encode(out, mac, sizeof(mac));
    return out->failed ? -ENOMEM : 0;
}

struct sbx_context_signer *
sbx_context_signer_free(struct sbx_context_signer *signer)
{
    size_t i;

    if (signer != NULL) {
        for (i = 0; i < (size_t)N_SETS * N_WAYS; i++) {
            head_free(signer->head[i / N_WAYS][i % N_WAYS]);
        }
        sbx_hmac_free(signer->hmac);
        free(signer);
    }
    return NULL;
}

static void
signer_freep(struct sbx_context_signer **signer)
{
    sbx_context_signer_free(*signer);
}

int
sbx_context_signer_new(struct sbx_context_signer **ret, const void *key, size_t key_len)
{
    _cleanup_(signer_freep) struct sbx_context_signer *signer = NULL;
    int r;

    if (key_len < SBX_CONTEXT_KEY_MIN) {
        return -EINVAL;
    }
    signer = calloc(1, sizeof(*signer));
    if (signer == NULL) {
        return -ENOMEM;
    }
    r = sbx_hmac_new(&signer->hmac, key, key_len);
    if (r != 0) {
        return r;
    }

    *ret = steal(&signer);
    return 0;
}

int
sbx_context_sign(struct sbx_buf *out, const struct sbx_context *context, const void *key, size_t key_len)
{
    _cleanup_(signer_freep) struct sbx_context_signer *signer = NULL;
    int r;

    r = sbx_context_signer_new(&signer, key, key_len);
    return r != 0 ? r : sbx_context_signer_sign(signer, out, context);
}
