/* requestState of the Model Context Protocol (MR3): what was sealed comes back to who it was for, with what was asked, in time; nothing else does. */
#include "lib/sbx_mcp_state.h"

#include "t/unit/tap.h"

#define NOW 1800000000000u
#define WHO "acme/app/agent/alice"

static struct sbx_mcp_state_keeper *keeper;
static const char state[] = "{\"step\":1,\"secret\":\"tell nobody\"}";

static int
open_by(struct sbx_mcp_state_keeper *by, const char *principal, const char *request, const char *text,
        size_t len, uint64_t now)
{
    struct sbx_buf out = SBX_BUF_INIT(SBX_MCP_STATE_MAX), asked = SBX_BUF_INIT(65536);
    int r;

    sbx_buf_puts(&asked, request);
    r = sbx_mcp_state_open(by, &out, principal, &asked, text, len, now);
    if (r == 0 && (out.len != strlen(state) || memcmp(out.data, state, out.len) != 0)) {
        BAIL_OUT("opened to another state");
    }
    if (r != 0 && out.len != 0) {
        BAIL_OUT("bytes of a state that was refused");
    }
    sbx_buf_deinit(&asked);
    sbx_buf_deinit(&out);
    return r;
}

static int
seal(struct sbx_buf *out, const char *principal, const char *request, const char *what, size_t len,
     uint64_t now)
{
    struct sbx_buf asked = SBX_BUF_INIT(65536);
    int r;

    sbx_buf_puts(&asked, request);
    r = sbx_mcp_state_seal(keeper, out, principal, &asked, what, len, now);
    sbx_buf_deinit(&asked);
    return r;
}

static void
test_bytes(const struct sbx_buf *sealed)
{
    char changed[1024];
    unsigned passed = 0;

    for (size_t i = 0; i < sealed->len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            memcpy(changed, sealed->data, sealed->len);
            changed[i] = (char)(changed[i] ^ (1 << bit));
            passed += open_by(keeper, WHO, "r", changed, sealed->len, NOW) != -EBADMSG;
        }
        memcpy(changed, sealed->data, i);
        memcpy(changed + i, sealed->data + i + 1, sealed->len - i - 1);
        passed += open_by(keeper, WHO, "r", changed, sealed->len - 1, NOW) != -EBADMSG;
        passed += open_by(keeper, WHO, "r", sealed->data, i, NOW) != -EBADMSG;
        memcpy(changed, sealed->data, sealed->len);
        memcpy(changed + i + 1, sealed->data + i, sealed->len - i);
        passed += open_by(keeper, WHO, "r", changed, sealed->len + 1, NOW) != -EBADMSG;
    }
    is_uint(passed, 0, "no bit changed, byte dropped, byte doubled or end cut off of %zu bytes", sealed->len);
}

static void
test_bound(const struct sbx_buf *sealed)
{
    static const char *const others[] = {
        "",
        "acme/app/agent/bob",
        "acme/app/agent/alic",
        "acme/app/agent/alicer",
        "evil/app/agent/alice",
        "acme/app/agent/",
        "ACME/app/agent/alice",
    };
    static const char *const requests[] = { "", "r ", "rr", "R", "tools/call" };
    size_t i;

    for (i = 0; i < SBX_COUNT(others); i++) {
        is_int(open_by(keeper, others[i], "r", sealed->data, sealed->len, NOW), -EBADMSG, "not for \"%s\"",
               others[i]);
    }
    for (i = 0; i < SBX_COUNT(requests); i++) {
        is_int(open_by(keeper, WHO, requests[i], sealed->data, sealed->len, NOW), -EBADMSG, "not with \"%s\"",
               requests[i]);
    }
}

/* What ends the one and begins the other may not be moved between them. */
static void
test_seam(void)
{
    struct sbx_buf sealed = SBX_BUF_INIT(SBX_MCP_STATE_MAX);

    is_int(seal(&sealed, "acme/alice", "tools/call", state, strlen(state), NOW), 0, "sealed");
    is_int(open_by(keeper, "acme/alicetools", "/call", sealed.data, sealed.len, NOW), -EBADMSG,
           "not by another seam");
    is_int(open_by(keeper, "acme/alice", "tools/call", sealed.data, sealed.len, NOW), 0, "by its own");
    sbx_buf_deinit(&sealed);
}

static void
test_time(const struct sbx_buf *sealed)
{
    static const struct {
        int64_t after;
        int expected;
    } times[] = {
        { 0, 0 },
        { 1, 0 },
        { SBX_MCP_STATE_LIFE_MS, 0 },
        { SBX_MCP_STATE_LIFE_MS + 1, -EBADMSG },
        { 86400000, -EBADMSG },
        { -60000, 0 },
        { -60001, -EBADMSG },
        { -(int64_t)NOW, -EBADMSG },
        { INT64_MAX, -EBADMSG },
    };
    size_t i;

    for (i = 0; i < SBX_COUNT(times); i++) {
        is_int(open_by(keeper, WHO, "r", sealed->data, sealed->len, NOW + (uint64_t)times[i].after),
               times[i].expected, "%" PRId64 " ms after it was sealed", times[i].after);
    }
}

static void
test_keys(const struct sbx_buf *sealed)
{
    struct sbx_mcp_state_keeper *other = NULL, *same = NULL, *none = NULL;

    is_int(sbx_mcp_state_keeper_new(&none, "", 0), -EINVAL, "no key is refused");
    ok(none == NULL && sbx_mcp_state_keeper_free(NULL) == NULL, "and makes nothing");
    if (sbx_mcp_state_keeper_new(&other, "another key", 11) != 0 ||
        sbx_mcp_state_keeper_new(&same, "a key", 5) != 0) {
        BAIL_OUT("no keeper");
    }
    is_int(open_by(other, WHO, "r", sealed->data, sealed->len, NOW), -EBADMSG, "not under another key");
    is_int(open_by(same, WHO, "r", sealed->data, sealed->len, NOW), 0, "by another process that has the key");
    sbx_mcp_state_keeper_free(other);
    sbx_mcp_state_keeper_free(same);
}

static void
test_sizes(void)
{
    static const size_t sizes[] = { 0, 1, 2, 3, 1000, 12246, 12247 };
    static char large[SBX_MCP_STATE_MAX + 1], text[SBX_MCP_STATE_MAX + 2];
    struct sbx_buf sealed = SBX_BUF_INIT(SBX_MCP_STATE_MAX), out = SBX_BUF_INIT(SBX_MCP_STATE_MAX);
    struct sbx_buf asked = SBX_BUF_INIT(16), tight = SBX_BUF_INIT(40);
    size_t i;

    for (i = 0; i < SBX_COUNT(sizes); i++) {
        sbx_buf_reset(&sealed);
        sbx_buf_reset(&out);
        ok(seal(&sealed, WHO, "", large, sizes[i], NOW) == 0 && sealed.len <= SBX_MCP_STATE_MAX &&
               sbx_mcp_state_open(keeper, &out, WHO, &asked, sealed.data, sealed.len, NOW) == 0 &&
               out.len == sizes[i],
           "%zu bytes", sizes[i]);
    }
    sbx_buf_reset(&sealed);
    is_int(seal(&sealed, WHO, "", large, 12248, NOW), -EMSGSIZE, "more than fits is refused");
    is_uint(sealed.len, 0, "and nothing is told of it");
    is_int(seal(&tight, WHO, "", large, 0, NOW), -ENOMEM, "a buffer that is too small is told");
    memset(text, 'A', sizeof(text));
    is_int(open_by(keeper, WHO, "", text, sizeof(text), NOW), -EBADMSG, "text longer than any");
    is_int(open_by(keeper, WHO, "", text, SBX_MCP_STATE_MAX, NOW), -EBADMSG, "text of the longest");
    sbx_buf_deinit(&tight);
    sbx_buf_deinit(&sealed);
    sbx_buf_deinit(&out);
}

static void
test_forms(const struct sbx_buf *sealed)
{
    static const char *const bad[] = { "",    "AQ",   "=",        "null", "{}",
                                       "a b", "AQ==", "\xff\xff", "....", "AAAA\nAAAA" };
    char text[1024];
    size_t i;

    for (i = 0; i < SBX_COUNT(bad); i++) {
        is_int(open_by(keeper, WHO, "r", bad[i], strlen(bad[i]), NOW), -EBADMSG, "not a state: case %zu", i);
    }
    snprintf(text, sizeof(text), "%s=", sealed->data);
    is_int(open_by(keeper, WHO, "r", text, strlen(text), NOW), -EBADMSG, "no padding");
    snprintf(text, sizeof(text), " %s", sealed->data);
    is_int(open_by(keeper, WHO, "r", text, strlen(text), NOW), -EBADMSG, "no white space before");
    snprintf(text, sizeof(text), "%s\n", sealed->data);
    is_int(open_by(keeper, WHO, "r", text, strlen(text), NOW), -EBADMSG, "nor after");
}

int
main(void)
{
    struct sbx_buf sealed = SBX_BUF_INIT(SBX_MCP_STATE_MAX), again = SBX_BUF_INIT(SBX_MCP_STATE_MAX);

    if (sbx_mcp_state_keeper_new(&keeper, "a key", 5) != 0) {
        BAIL_OUT("no keeper");
    }
    is_int(seal(&sealed, WHO, "r", state, strlen(state), NOW), 0, "sealed");
    is_int(seal(&again, WHO, "r", state, strlen(state), NOW), 0, "and again");
    ok(again.len == sealed.len && memcmp(again.data, sealed.data, sealed.len) != 0, "never to the same text");
    ok(strspn(sealed.data, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == sealed.len,
       "that is safe in JSON");
    is_int(open_by(keeper, WHO, "r", sealed.data, sealed.len, NOW), 0, "opened");
    is_int(open_by(keeper, WHO, "r", sealed.data, sealed.len, NOW + 1), 0, "as often as is asked");

    test_bytes(&sealed);
    test_bound(&sealed);
    test_seam();
    test_time(&sealed);
    test_keys(&sealed);
    test_sizes();
    test_forms(&sealed);

    sbx_buf_deinit(&again);
    sbx_buf_deinit(&sealed);
    sbx_mcp_state_keeper_free(keeper);
    return done_testing();
}
