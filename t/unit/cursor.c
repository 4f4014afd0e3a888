/* Cursors: what we wrote is read, anything else is not. */
#include "executor/api/cursor.h"

#include "t/unit/tap.h"

static const char key[] = "0123456789abcdef0123456789abcdef";
static const struct cursor place = { 1700000000123, { "job_01m7yep0vh3nhv2pk7vh28r48r" } };

static bool
reads(const char *text, const char *scope)
{
    struct cursor cursor;

    return cursor_read(&cursor, text, scope, key, sizeof(key) - 1);
}

int
main(void)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(CURSOR_MAX);
    static const char *const nonsense[] = { "",         "A",  "====", "AAAA", "a b", "MTcwMC5qb2I",
                                            "\xff\xff", "..", "0" };
    struct cursor cursor = { 0 };
    char changed[CURSOR_MAX];
    unsigned passed = 0;

    ok(cursor_write(&text, &place, "jobs\nacme", key, sizeof(key) - 1) == 0 && !text.failed, "written");
    ok(cursor_read(&cursor, text.data, "jobs\nacme", key, sizeof(key) - 1), "read");
    ok(cursor.created_ms == place.created_ms && strcmp(cursor.id.text, place.id.text) == 0, "the same place");
    ok(!reads(text.data, "jobs\nother"), "not another tenant's");
    ok(!reads(text.data, "jobs\nacme\n"), "not another listing's");
    ok(!cursor_read(&cursor, text.data, "jobs\nacme", "another key of 32 bytes and more", 32),
       "not by another key");
    for (size_t i = 0; i < SBX_COUNT(nonsense); i++) {
        ok(!reads(nonsense[i], "jobs\nacme"), "nonsense %zu", i);
    }
    for (size_t i = 0; i < text.len; i++) {
        memcpy(changed, text.data, text.len + 1);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        passed += reads(changed, "jobs\nacme") ? 1 : 0;
        memcpy(changed, text.data, text.len + 1);
        changed[i] = '\0';
        passed += reads(changed, "jobs\nacme") ? 1 : 0;
    }
    is_int(passed, 0, "no change of a character and no shortening passes");
    return done_testing();
}
