/* Regular expressions of schemas: what they match, what is refused, and that none takes long. */
#include "lib/sbx_pattern.h"

#include <time.h>

#include "t/unit/tap.h"

static struct sbx_pattern *
compile(const char *text)
{
    struct sbx_pattern *pattern = NULL;
    const char *why = "";

    if (sbx_pattern_compile(&pattern, text, strlen(text), &why) != 0) {
        BAIL_OUT("cannot compile %s: %s", text, why);
    }
    return pattern;
}

static void
test_match(void)
{
    static const struct {
        const char *pattern, *text;
        bool matches;
    } table[] = {
        { "", "", true },
        { "", "a", true },
        { "^$", "", true },
        { "^$", "a", false },
        { "a", "bab", true },
        { "^a", "ba", false },
        { "a$", "ab", false },
        { "a$", "a\n", false },
        { "^a|b$", "ab", true },
        { "^(a|b)$", "ab", false },
        { "^(?:a|bc|d)*$", "abcdbc", true },
        { "^(?:a|bc|d)*$", "abcb", false },
        { "^a*$", "aaaa", true },
        { "^a+$", "", false },
        { "^a+?b??$", "aab", true },
        { "^a?$", "aa", false },
        { "^a{3}$", "aaa", true },
        { "^a{3}$", "aa", false },
        { "^a{2,}$", "aaaaa", true },
        { "^a{2,}$", "a", false },
        { "^a{1,3}$", "aaaa", false },
        { "^a{0,2}$", "", true },
        { "^a{0}b$", "b", true },
        { "^a{0}b$", "ab", false },
        { "^(a{2}b){2}$", "aabaab", true },
        { "^(a{2}b){2}$", "aabab", false },
        { "^(a|b{2,3}){2}$", "abbb", true },
        { "^()*$", "", true },
        { "^(a*)*$", "aaab", false },
        { "^(a*)+$", "aaa", true },
        { "^[a-c]+$", "abcba", true },
        { "^[a-c]+$", "abd", false },
        { "^[^a-c]+$", "xyz", true },
        { "^[^a-c]+$", "xaz", false },
        { "^[]$", "", false },
        { "^[^]$", "\n", true },
        { "^[a-]+$", "a-", true },
        { "^[-a]+$", "a-", true },
        { "^[\\]\\\\^]+$", "]\\^", true },
        { "^[\\d.]+$", "1.2", true },
        { "^[^\\d]+$", "a1", false },
        { "^[\\D]+$", "ab", true },
        { "^\\w+$", "aZ_9", true },
        { "^\\w+$", "a-b", false },
        { "^\\W$", "-", true },
        { "^\\s$", "\xc2\xa0", true },
        { "^\\S$", "\xc2\xa0", false },
        { "^.$", "\n", false },
        { "^.$", "\xc3\xa4", true },
        { "^.$", "\xf0\x9f\x98\x80", true },
        { "^..$", "\xc3\xa4", false },
        { "^[\xc3\xa4-\xc3\xb6]$", "\xc3\xa5", true },
        { "^\\u00e4$", "\xc3\xa4", true },
        { "^\\x41\\t$", "A\t", true },
        { "\\.\\*\\$\\^\\/", ".*$^/", true },
        { "^ses_[0-9a-hjkmnp-tv-z]{26}$", "ses_0123456789abcdefghjkmnpqrs", true },
        { "^ses_[0-9a-hjkmnp-tv-z]{26}$", "ses_0123456789abcdefghjkmnpqr", false },
        { "^ses_[0-9a-hjkmnp-tv-z]{26}$", "ses_0123456789abcdefghjkmnpqri", false },
        { "a^b", "a^b", false },
        { "(^|x)a", "bxa", true },
        { "a($|x)", "ba", true },
    };
    struct sbx_pattern *pattern;
    size_t i;

    for (i = 0; i < SBX_COUNT(table); i++) {
        pattern = compile(table[i].pattern);
        ok(sbx_pattern_match(pattern, table[i].text, strlen(table[i].text)) == table[i].matches, "%s %s %s",
           table[i].pattern, table[i].matches ? "matches" : "does not match", table[i].text);
        pattern = sbx_pattern_free(pattern);
    }
}

static void
test_refused(void)
{
    static const char *const bad[] = {
        "(",
        ")",
        "a)",
        "(a",
        "[",
        "[a",
        "[b-a]",
        "[a\\",
        "\\",
        "a\\",
        "*",
        "+a",
        "?",
        "a**",
        "a+*",
        "a{2}{3}",
        "a{",
        "a{x}",
        "a{1",
        "a{1,",
        "a{2,1}",
        "a{1000}",
        "{",
        "}",
        "]",
        "a{1}}",
        "\\1",
        "(a)\\1",
        "\\k<a>",
        "(?=a)",
        "(?!a)",
        "(?<=a)",
        "(?<n>a)",
        "(?i)a",
        "\\bword",
        "\\B",
        "\\p{L}",
        "\\cA",
        "\\0",
        "\\xg1",
        "\\x4",
        "\\u12",
        "\\ud800",
        "\\u{61}",
        "\\q",
        "[\\b]",
        "[\\q]",
        "[a-\\d]",
        "((((a){99}){99}){99})",
        "(a{250}){250}",
        "(?",
        "(?:a",
        "a|*",
        "(|*)",
    };
    struct sbx_pattern *pattern = NULL;
    char text[SBX_PATTERN_MAX + 2];
    const char *why;
    size_t i;

    for (i = 0; i < SBX_COUNT(bad); i++) {
        why = NULL;
        is_int(sbx_pattern_compile(&pattern, bad[i], strlen(bad[i]), &why), SBX_PATTERN_E_FORM, "refused: %s",
               bad[i]);
        ok(pattern == NULL && why != NULL, "it %s", why == NULL ? "?" : why);
    }
    memset(text, 'a', sizeof(text));
    is_int(sbx_pattern_compile(&pattern, text, SBX_PATTERN_MAX + 1, &why), SBX_PATTERN_E_FORM,
           "refused: too long");
    memset(text, '(', sizeof(text));
    is_int(sbx_pattern_compile(&pattern, text, SBX_PATTERN_MAX, &why), SBX_PATTERN_E_FORM,
           "refused: too deep");
}

/* Where others try all ways one after the other. */
static void
test_linear(void)
{
    static const char *const slow[] = { "^(a+)+$", "^(a|a)*$",        "^(a|aa)+$",
                                        "(.*)*x",  "^(a?){60}a{60}$", "(x+x+)+y" };
    struct timespec before, after;
    struct sbx_pattern *pattern;
    char text[4096];
    size_t i;

    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = '!';
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    for (i = 0; i < SBX_COUNT(slow); i++) {
        pattern = compile(slow[i]);
        ok(!sbx_pattern_match(pattern, text, sizeof(text)), "%s does not match", slow[i]);
        ok(sbx_pattern_cost(pattern, sizeof(text)) < 10000000, "and costs at most %zu steps",
           sbx_pattern_cost(pattern, sizeof(text)));
        pattern = sbx_pattern_free(pattern);
    }
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    ok(after.tv_sec - before.tv_sec < 10, "all of it within seconds");
}

int
main(void)
{
    test_match();
    test_refused();
    test_linear();
    return done_testing();
}
