/* Artifact patterns: what they match, and what they must not. */
#include "session-agent/glob.h"

#include <string.h>
#include <time.h>

#include "t/unit/tap.h"

static const struct {
    const char *pattern, *path;
    bool match;
} matches[] = {
    { "out.csv", "out.csv", true },
    { "out.csv", "out.cs", false },
    { "out.csv", "out.csvx", false },
    { "out.csv", "a/out.csv", false },
    { "*.csv", "out.csv", true },
    { "*.csv", ".csv", false },
    { "*.csv", ".a.csv", false },
    { ".*.csv", ".a.csv", true },
    { "\\.a", ".a", true },
    { "*.csv", "a/out.csv", false },
    { "*", "a", true },
    { "*", ".a", false },
    { "*", "a/b", false },
    { "?", "a", true },
    { "?", ".", false },
    { "?", "ab", false },
    { "?", "\xc3\xa4", true },
    { "??", "\xc3\xa4", false },
    { "a?c", "a/c", false },
    { "[ab]x", "bx", true },
    { "[ab]x", "cx", false },
    { "[a-c]x", "bx", true },
    { "[!a-c]x", "bx", false },
    { "[!a-c]x", "dx", true },
    { "[^a]x", "ax", false },
    { "[]]x", "]x", true },
    { "[a-]x", "-x", true },
    { "[.]x", ".x", false },
    { "\\*", "*", true },
    { "\\*", "a", false },
    { "a*b*c", "aXbYc", true },
    { "a*b*c", "aXbY", false },
    { "**", "a", true },
    { "**", "a/b/c", true },
    { "**", ".a", false },
    { "**", "a/.b/c", false },
    { "**/x", "x", true },
    { "**/x", "a/b/x", true },
    { "**/x", "a/b/xy", false },
    { "**/x", ".a/x", false },
    { "a/**", "a/b", true },
    { "a/**", "b/a", false },
    { "a/**/b", "a/b", true },
    { "a/**/b", "a/x/y/b", true },
    { "a/**/b", "a/x/y/c", false },
    { "**/a/**/b", "x/a/y/a/b", true },
    { "**/a/**/b", "x/b", false },
    { "a**", "ab", true },
    { "a**", "a/b", false },
    { "a/*/c", "a/b/c", true },
    { "a/*/c", "a/b/d/c", false },
    { "a/*", "a", false },
};

static const struct {
    const char *pattern, *dir;
    bool descend;
} descents[] = {
    { "**/.git/x", ".git", true },
    { "**/.git/x", "a/.git", true },
    { "**/.git/x", "a/.svn", false },
    { "**/.git/x", ".git/a", false },
    { "**/**/.*/**", ".a/b", true },
    { "**/.git/**", ".git/.a", false },
    { "a/**/b/c", "a/x/b", true },
    { "a/**/b/c", "b/x", false },
    { "a/b", "a", true },
    { "a/b", "b", false },
    { "a", "a", false },
    { "*/b", "x", true },
    { "*/b", ".x", false },
    { "**", "a/b/c", true },
    { "**", ".a", false },
    { "a/**", "a/b", true },
    { "a/**", "b", false },
    { "a/b/c", "a/b", true },
    { "a/b/c", "a/c", false },
    { "a/b", "a/b", false },
    { "**/x", "a/.b", false },
};

static const char *const refused[] = {
    "",     "/a", "a/",      "a//b", ".",     "..", "../a", "a/../b", "a/./b",
    "a/..", "[a", "a/[b/c]", "a\\",  "a\\/b", "[",  "[]",   "\xff",   "\xc0\xaf",
};

static const char *const accepted[] = { "a", "a/b", "**", "*.txt", "[a]b", "a b", "...", "\xc3\xa4", "a\\b" };

/* Its own: what others take of a processor meanwhile is not its cost. */
static uint64_t
used_ms(void)
{
    struct timespec used;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000 + (uint64_t)used.tv_nsec / 1000000;
}

static void
test_time(void)
{
    char pattern[GLOB_MAX_LEN + 1], path[256];
    uint64_t start = used_ms();
    size_t i;

    for (i = 0; i + 2 <= GLOB_MAX_LEN - 2; i += 2) {
        memcpy(pattern + i, "a*", 2);
    }
    memcpy(pattern + i, "b", 2);
    memset(path, 'a', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    ok(!glob_match(pattern, path), "many stars do not match");
    for (i = 0; i + 3 <= GLOB_MAX_LEN - 2; i += 3) {
        memcpy(pattern + i, "**/", 3);
    }
    memcpy(pattern + i, "b", 2);
    for (i = 0; i < sizeof(path) - 1; i++) {
        path[i] = i % 2 == 0 ? 'a' : '/';
    }
    ok(!glob_match(pattern, path), "nor do many double stars");
    ok(used_ms() - start < 1000, "and both at once, not in exponential time");
}

int
main(void)
{
    char longest[GLOB_MAX_LEN + 2];
    size_t i;

    for (i = 0; i < SBX_COUNT(matches); i++) {
        ok(glob_match(matches[i].pattern, matches[i].path) == matches[i].match, "%s %s %s",
           matches[i].pattern, matches[i].match ? "matches" : "does not match", matches[i].path);
    }
    for (i = 0; i < SBX_COUNT(descents); i++) {
        ok(glob_may_descend(descents[i].pattern, descents[i].dir) == descents[i].descend, "%s %s %s",
           descents[i].pattern, descents[i].descend ? "looks into" : "passes by", descents[i].dir);
    }
    for (i = 0; i < SBX_COUNT(refused); i++) {
        ok(glob_refusal(refused[i], strlen(refused[i])) != NULL, "refused pattern %zu", i);
    }
    for (i = 0; i < SBX_COUNT(accepted); i++) {
        ok(glob_refusal(accepted[i], strlen(accepted[i])) == NULL, "accepted pattern %zu", i);
    }
    memset(longest, 'a', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    ok(glob_refusal(longest, GLOB_MAX_LEN + 1) != NULL, "a pattern too long");
    ok(glob_refusal("a\0b", 3) != NULL, "a pattern with NUL");
    ok(glob_is_literal("a.b") && !glob_is_literal("a*") && !glob_is_literal("a\\b"),
       "what is no pattern is told");
    test_time();
    return done_testing();
}
