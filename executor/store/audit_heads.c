/* Makes heads, reads them back by making them again, and keeps the file. */
#include "audit_heads.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit_segments.h"
#include "lib/sbx_json.h"
#include "lib/sbx_jsonw.h"

#define HEAD_PREFIX "ngx_sandbox audit head v1\n"
#define KEY_PREFIX "ngx_sandbox audit key v1\n"

struct audit_heads {
    int fd;
    const struct sbx_sign_key *key;
    char executor[AUDIT_EXECUTOR_MAX + 1];
    struct audit_head last;
    uint64_t bytes; /* of the whole lines */
    bool torn;      /* the file may be longer */
};

static void
head_write_members(const struct audit_head *head, struct sbx_jsonw *w)
{
    sbx_jsonw_object(w, NULL);
    sbx_jsonw_uint(w, "n", head->n);
    sbx_jsonw_uint(w, "seq", head->seq);
    sbx_jsonw_str(w, "hash", head->hash);
    sbx_jsonw_str(w, "ts", head->ts);
    sbx_jsonw_str(w, "executor", head->executor);
    sbx_jsonw_str(w, "key_id", head->key_id);
}

void
audit_head_write(const struct audit_head *head, struct sbx_buf *out)
{
    struct sbx_buf sig = SBX_BUF_INIT(128);
    struct sbx_jsonw w;

    sbx_b64url_encode(&sig, head->sig, sizeof(head->sig));
    sbx_jsonw_init(&w, out);
    head_write_members(head, &w);
    sbx_jsonw_str(&w, "sig", sig.data);
    sbx_jsonw_object_end(&w);
    sbx_buf_putc(out, '\n');
    out->failed = out->failed || sig.failed;
    sbx_buf_deinit(&sig);
}

static int
head_message(const struct audit_head *head, struct sbx_buf *out)
{
    struct sbx_jsonw w;

    sbx_buf_puts(out, HEAD_PREFIX);
    sbx_jsonw_init(&w, out);
    head_write_members(head, &w);
    sbx_jsonw_object_end(&w);
    return out->failed ? -ENOMEM : 0;
}

int
audit_head_sign(struct audit_head *head, const struct sbx_sign_key *key)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf message = SBX_BUF_INIT(AUDIT_HEAD_LINE_MAX);
    int r;

    memcpy(head->key_id, sbx_sign_id(key), SBX_SIGN_ID);
    r = head_message(head, &message);
    return r ? r : sbx_sign(key, message.data, message.len, head->sig);
}

bool
audit_head_verify(const struct audit_head *head, const struct sbx_sign_key *key)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf message = SBX_BUF_INIT(AUDIT_HEAD_LINE_MAX);

    return head_message(head, &message) == 0 && sbx_sign_verify(key, message.data, message.len, head->sig);
}

int
audit_key_message(struct sbx_buf *out, const char *executor, const uint8_t raw[SBX_SIGN_RAW])
{
    sbx_buf_puts(out, KEY_PREFIX);
    sbx_buf_puts(out, executor);
    sbx_buf_putc(out, '\n');
    sbx_b64url_encode(out, raw, SBX_SIGN_RAW);
    return out->failed ? -ENOMEM : 0;
}

static bool
head_text(const json_t *json, const char *key, size_t max, char *out)
{
    const char *text = json_string_value(json_object_get(json, key));
    const size_t len = text == NULL ? 0 : strlen(text);

    if (len == 0 || len > max) {
        return false;
    }
    memcpy(out, text, len + 1);
    return true;
}

static bool
head_number(const json_t *json, const char *key, uint64_t *ret)
{
    const json_t *value = json_object_get(json, key);

    *ret = json_is_integer(value) && json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0;
    return *ret > 0;
}

static bool
head_members(const json_t *json, struct audit_head *ret)
{
    const char *sig = json_string_value(json_object_get(json, "sig"));
    _cleanup_(sbx_buf_deinit) struct sbx_buf raw = SBX_BUF_INIT(128);

    if (!head_number(json, "n", &ret->n) || !head_number(json, "seq", &ret->seq) ||
        !head_text(json, "hash", sizeof(ret->hash) - 1, ret->hash) ||
        strlen(ret->hash) != SBX_SHA256_HEX - 1 || !head_text(json, "ts", sizeof(ret->ts) - 1, ret->ts) ||
        !head_text(json, "executor", AUDIT_EXECUTOR_MAX, ret->executor) ||
        !head_text(json, "key_id", SBX_SIGN_ID - 1, ret->key_id) || sig == NULL ||
        !sbx_b64url_decode(&raw, sig, strlen(sig)) || raw.len != SBX_SIGN_LEN) {
        return false;
    }
    memcpy(ret->sig, raw.data, SBX_SIGN_LEN);
    return true;
}

int
audit_head_parse(struct audit_head *ret, const char *line, size_t len)
{
    _cleanup_(sbx_json_decrefp) json_t *json = NULL;
    _cleanup_(sbx_buf_deinit) struct sbx_buf again = SBX_BUF_INIT(AUDIT_HEAD_LINE_MAX);
    struct sbx_field_error err;
    int r;

    *ret = (struct audit_head){ 0 };
    if (len > AUDIT_HEAD_LINE_MAX) {
        return AUDIT_E_FORM;
    }
    r = sbx_json_parse(&json, line, len, &err);
    if (r) {
        return r < 0 ? r : AUDIT_E_FORM;
    }
    if (!json_is_object(json) || !head_members(json, ret)) {
        return AUDIT_E_FORM;
    }
    audit_head_write(ret, &again);
    return !again.failed && again.len == len + 1 && memcmp(again.data, line, len) == 0 ? 0 : AUDIT_E_FORM;
}

/* The last whole line, and how far the whole lines go. Takes a descriptor of its own. */
static int
heads_scan(struct audit_heads *heads, int fd)
{
    struct audit_reader reader;
    const char *line;
    size_t len;
    int r;

    r = audit_reader_init(&reader, fd);
    while (r == 0 && (r = audit_reader_next(&reader, &line, &len)) == AUDIT_READ_LINE) {
        r = audit_head_parse(&heads->last, line, len);
        r = r > 0 ? -EUCLEAN : r;
        heads->bytes += len + 1;
    }
    audit_reader_deinit(&reader);
    heads->torn = r == AUDIT_READ_TORN;
    return r == AUDIT_READ_TORN ? 0 : r > 0 ? -EUCLEAN : r;
}

static int
heads_mend(struct audit_heads *heads)
{
    if (heads->torn && ftruncate(heads->fd, (off_t)heads->bytes) < 0) {
        return -errno;
    }
    heads->torn = false;
    return 0;
}

struct audit_heads *
audit_heads_close(struct audit_heads *heads)
{
    if (heads != NULL && heads->fd >= 0) {
        close(heads->fd);
    }
    free(heads);
    return NULL;
}

static void
audit_heads_closep(struct audit_heads **heads)
{
    *heads = audit_heads_close(*heads);
}

static int
heads_open(struct audit_heads *heads, int dir_fd)
{
    struct stat st;
    int fd, r;

    heads->fd = openat(dir_fd, AUDIT_HEADS_NAME,
                       O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
    if (heads->fd < 0 || fstat(heads->fd, &st) < 0) {
        return -errno;
    }
    if (!S_ISREG(st.st_mode)) {
        return -EINVAL;
    }
    fd = openat(dir_fd, AUDIT_HEADS_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    r = heads_scan(heads, fd);
    r = r ? r : heads_mend(heads);
    return r ? r : fsync(dir_fd) < 0 ? -errno : 0;
}

int
audit_heads_open(struct audit_heads **ret, const struct audit_heads_spec *spec)
{
    _cleanup_(audit_heads_closep) struct audit_heads *heads = calloc(1, sizeof(*heads));
    const size_t len = strlen(spec->executor);
    int r;

    if (heads == NULL) {
        return -ENOMEM;
    }
    heads->fd = -1;
    heads->key = spec->key;
    if (len > AUDIT_EXECUTOR_MAX) {
        return -EINVAL;
    }
    memcpy(heads->executor, spec->executor, len + 1);
    r = heads_open(heads, spec->dir_fd);
    if (r) {
        return r;
    }
    *ret = steal(&heads);
    return 0;
}

const struct audit_head *
audit_heads_last(const struct audit_heads *heads)
{
    return &heads->last;
}

int
audit_heads_add(struct audit_heads *heads, const struct audit_chain *head)
{
    struct audit_head next = { .n = heads->last.n + 1, .seq = head->seq };
    _cleanup_(sbx_buf_deinit) struct sbx_buf line = SBX_BUF_INIT(AUDIT_HEAD_LINE_MAX);
    ssize_t n;
    int r;

    if (head->seq == 0 || head->seq == heads->last.seq) {
        return 0;
    }
    memcpy(next.hash, head->hash, sizeof(next.hash));
    memcpy(next.executor, heads->executor, sizeof(next.executor));
    sbx_rfc3339(next.ts, sbx_now_unix_ms());
    r = audit_head_sign(&next, heads->key);
    if (r) {
        return r;
    }
    audit_head_write(&next, &line);
    if (line.failed) {
        return -ENOMEM;
    }
    r = heads_mend(heads);
    if (r) {
        return r;
    }
    n = write(heads->fd, line.data, line.len);
    r = n < 0 ? -errno : (size_t)n != line.len ? -EIO : fdatasync(heads->fd) < 0 ? -errno : 0;
    if (r) {
        heads->torn = true; /* cut now, or before the next one */
        (void)heads_mend(heads);
        return r;
    }
    heads->bytes += line.len;
    heads->last = next;
    return 0;
}
