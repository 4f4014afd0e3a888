#include "audit_witness.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/sbx_json.h"

static int
witness_say(struct witness_why *why, int r, const char *sentence)
{
    *why = (struct witness_why){ .sentence = sentence };
    return r;
}

/* Whether these keys' number has room and this is a new one. */
static int
witness_believe(struct witness *witness, const uint8_t raw[SBX_SIGN_RAW])
{
    for (unsigned i = 0; i < witness->n_keys; i++) {
        if (memcmp(sbx_sign_bytes(witness->keys[i]), raw, SBX_SIGN_RAW) == 0) {
            return 0;
        }
    }
    if (witness->n_keys == WITNESS_KEYS_MAX) {
        return -E2BIG;
    }
    return sbx_sign_raw(&witness->keys[witness->n_keys++], raw);
}

static const struct sbx_sign_key *
witness_key(const struct witness *witness, const char *id)
{
    for (unsigned i = 0; i < witness->n_keys; i++) {
        if (witness->keys[i] != NULL && strcmp(sbx_sign_id(witness->keys[i]), id) == 0) {
            return witness->keys[i];
        }
    }
    return NULL;
}

static int
head_follows(struct witness *witness, struct witness_why *why)
{
    const struct audit_head *head = &witness->next;
    int r;

    if (head->n != witness->n + 1) {
        r = witness_say(why, WITNESS_E_HEADS, "the heads are numbered, and this is not the next one");
        why->missing = head->n > witness->n + 1;
        why->moved = !why->missing;
        return r;
    }
    if (head->seq <= witness->seq) {
        return witness_say(why, WITNESS_E_HEADS, "the head is of an event before that of the last head");
    }
    if (witness->n > 0 && strcmp(head->executor, witness->executor) != 0) {
        return witness_say(why, WITNESS_E_HEADS, "the head is another executor's");
    }
    memcpy(witness->executor, head->executor, sizeof(witness->executor));
    return 0;
}

static int
witness_next(struct witness *witness, struct witness_why *why)
{
    const char *line;
    size_t len;
    int r;

    witness->pending = false;
    r = audit_reader_next(&witness->reader, &line, &len);
    if (r <= 0) {
        return r;
    }
    if (r == AUDIT_READ_TORN) {
        return witness_say(why, WITNESS_E_CUT, "the file of heads ends inside a line");
    }
    r = r == AUDIT_READ_LONG ? AUDIT_E_FORM : audit_head_parse(&witness->next, line, len);
    if (r) {
        return r < 0 ? r : witness_say(why, WITNESS_E_HEADS, "the line is no head");
    }
    r = head_follows(witness, why);
    witness->pending = r == 0;
    return r;
}

int
witness_open(struct witness *witness, int dir_fd, struct sbx_sign_key *const *keys, unsigned n_keys,
             struct witness_why *why)
{
    struct stat st;
    int fd, r;

    *witness = (struct witness){ .reader.fd = -1, .asked = n_keys > 0 };
    for (unsigned i = 0; i < n_keys; i++) {
        r = witness_believe(witness, sbx_sign_bytes(keys[i]));
        if (r) {
            return r;
        }
    }
    fd = openat(dir_fd, AUDIT_HEADS_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return -EINVAL;
    }
    r = audit_reader_init(&witness->reader, fd);
    if (r) {
        return r;
    }
    witness->open = true;
    return witness_next(witness, why);
}

void
witness_close(struct witness *witness)
{
    for (unsigned i = 0; i < witness->n_keys; i++) {
        witness->keys[i] = sbx_sign_free(witness->keys[i]);
    }
    witness->n_keys = 0;
    audit_reader_deinit(&witness->reader);
}

static bool
decode(const json_t *object, const char *key, void *out, size_t size)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf raw = SBX_BUF_INIT(256);
    const char *text = json_string_value(json_object_get(object, key));

    if (text == NULL || !sbx_b64url_decode(&raw, text, strlen(text)) || raw.len != size) {
        return false;
    }
    memcpy(out, raw.data, size);
    return true;
}

/* A key that a believed one vouches for. */
static int
witness_learn(struct witness *witness, const json_t *body)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf message = SBX_BUF_INIT(512);
    const json_t *previous = json_object_get(body, "previous");
    const char *id = json_string_value(json_object_get(previous, "key_id"));
    const char *executor = json_string_value(json_object_get(body, "executor"));
    const struct sbx_sign_key *old = id == NULL ? NULL : witness_key(witness, id);
    uint8_t raw[SBX_SIGN_RAW], sig[SBX_SIGN_LEN];
    int r;

    if (old == NULL || executor == NULL || strlen(executor) > AUDIT_EXECUTOR_MAX ||
        !decode(body, "public_key", raw, sizeof(raw)) || !decode(previous, "sig", sig, sizeof(sig))) {
        return 0;
    }
    r = audit_key_message(&message, executor, raw);
    if (r) {
        return r;
    }
    return sbx_sign_verify(old, message.data, message.len, sig) ? witness_believe(witness, raw) : 0;
}

static int
witness_key_event(struct witness *witness, const char *text, size_t len)
{
    static const char kind[] = "\"kind\":\"" AUDIT_KEY_KIND "\"";
    _cleanup_(sbx_json_decrefp) json_t *json = NULL;
    const json_t *body;
    struct sbx_field_error err;
    const char *what;
    int r;

    if (memmem(text, len, kind, sizeof(kind) - 1) == NULL) {
        return 0;
    }
    r = sbx_json_parse(&json, text, len, &err);
    if (r) {
        return r < 0 ? r : 0;
    }
    what = json_string_value(json_object_get(json, "kind"));
    body = json_object_get(json, "body");
    if (what == NULL || strcmp(what, AUDIT_KEY_KIND) != 0) {
        return 0;
    }
    witness->signing = json_is_string(json_object_get(body, "key_id"));
    return witness_learn(witness, body);
}

static int
witness_head(struct witness *witness, const struct audit_line *line, struct witness_why *why)
{
    const struct audit_head *head = &witness->next;
    const struct sbx_sign_key *key = witness_key(witness, head->key_id);

    if (key != NULL && !audit_head_verify(head, key)) {
        return witness_say(why, WITNESS_E_HEADS, "the signature is not that of the head");
    }
    if (key == NULL && witness->believing) {
        return witness_say(why, WITNESS_E_HEADS, "the head is signed by a key that nothing vouches for");
    }
    if (strcmp(head->hash, line->hash) != 0) {
        return key != NULL ? witness_say(why, WITNESS_E_LINE,
                                         "the line is not the one that was signed: the history "
                                         "up to it was rewritten")
                           : witness_say(why, WITNESS_E_HEADS, "the head is not that of its event");
    }
    witness->believing = witness->believing || key != NULL;
    witness->n = head->n;
    witness->seq = head->seq;
    return witness_next(witness, why);
}

int
witness_line(struct witness *witness, const struct audit_line *line, const char *text, size_t len,
             struct witness_why *why)
{
    int r;

    r = witness_key_event(witness, text, len);
    if (r || !witness->pending || witness->next.seq != line->seq) {
        return r;
    }
    return witness_head(witness, line, why);
}

int
witness_segment_end(const struct witness *witness, uint64_t seq, struct witness_why *why)
{
    int r;

    if (!witness->signing || witness->seq == seq) {
        return 0;
    }
    r = witness_say(why, WITNESS_E_HEADS, "a segment ends without a signed head");
    why->missing = why->absent = true;
    return r;
}

int
witness_end(const struct witness *witness, uint64_t signed_n, struct witness_why *why)
{
    int r = 0;

    if (witness->pending) {
        return witness_say(why, WITNESS_E_LINE, "the log ends before an event whose hash was signed");
    }
    if (witness->n < signed_n) {
        r = witness_say(why, WITNESS_E_CUT, "the file of heads had more of them");
    } else if (witness->asked && !witness->believing) {
        r = witness_say(why, WITNESS_E_CUT, "no head is signed by the key that was given");
    }
    why->absent = r != 0;
    return r;
}
