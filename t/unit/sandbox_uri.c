/* sandbox:// URIs: what they name, and that nothing else is one. */
#include "executor/api/sandbox_uri.h"

#include <string.h>

#include "t/unit/tap.h"

#define SES "ses_01m7yep0vh3nhv2pk7vh28r48r"
#define JOB "job_01m7yep0vh3nhv2pk7vh28r48r"
#define STP "stp_01m7yep0vh3nhv2pk7vh28r48r"
#define ART "art_01m7yep0vh3nhv2pk7vh28r48r"

static void
test_names(void)
{
    static const struct {
        const char *text;
        enum sandbox_uri_kind kind;
        const char *id, *path, *written;
    } cases[] = {
        { "sandbox://session/" SES "/a/b.txt", SANDBOX_URI_SESSION, SES, "a/b.txt", NULL },
        { "sandbox://session/" SES "/", SANDBOX_URI_SESSION, SES, "", NULL },
        { "sandbox://session/" SES, SANDBOX_URI_SESSION, SES, "", "sandbox://session/" SES "/" },
        { "sandbox://job/" JOB "/%C3%A4%20%25.csv", SANDBOX_URI_JOB, JOB, "\xc3\xa4 %.csv", NULL },
        { "sandbox://job/" JOB "/\xc3\xa4 b", SANDBOX_URI_JOB, JOB, "\xc3\xa4 b",
          "sandbox://job/" JOB "/%C3%A4%20b" },
        { "sandbox://job/" JOB "/a?b#c", SANDBOX_URI_JOB, JOB, "a?b#c", "sandbox://job/" JOB "/a%3Fb%23c" },
        { "sandbox://job/" JOB "/...", SANDBOX_URI_JOB, JOB, "...", NULL },
        { "sandbox://job/" JOB "/%2e%2E.", SANDBOX_URI_JOB, JOB, "...", "sandbox://job/" JOB "/..." },
        { "sandbox://job/" SES "." STP "/display-1.png", SANDBOX_URI_STEP, SES, "display-1.png", NULL },
        { "sandbox://job/" SES "." STP, SANDBOX_URI_STEP, SES, "", "sandbox://job/" SES "." STP "/" },
        { "sandbox://artifact/" ART, SANDBOX_URI_ARTIFACT, ART, "", NULL },
        { "sandbox://artifact/" ART "/", SANDBOX_URI_ARTIFACT, ART, "", "sandbox://artifact/" ART },
    };

    for (size_t i = 0; i < SBX_COUNT(cases); i++) {
        _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(8192);
        struct sandbox_uri uri;
        bool fine = sandbox_uri_parse(&uri, cases[i].text);

        ok(fine && uri.kind == cases[i].kind && strcmp(uri.id, cases[i].id) == 0 &&
               strcmp(uri.path, cases[i].path) == 0,
           "%s", cases[i].text);
        sandbox_uri_write(&out, &uri);
        ok(!out.failed && strcmp(out.data, cases[i].written == NULL ? cases[i].text : cases[i].written) == 0,
           "  and its one form");
    }
}

static void
test_none(void)
{
    static const char *const none[] = {
        "",
        "sandbox:",
        "sandbox://",
        "sandbox://session",
        "sandbox://session/",
        "sandbox://session//a",
        "sandbox:/session/" SES "/a",
        "SANDBOX://session/" SES "/a",
        "sandbox://Session/" SES "/a",
        "sandbox://sessions/" SES "/a",
        "sandbox://sess/" SES "/a",
        "sandbox://user@session/" SES "/a",
        "sandbox://session:80/" SES "/a",
        "sandbox://service/" SES "/a",
        "file:///etc/passwd",
        "http://session/" SES "/a",
        " sandbox://session/" SES "/a",
        "sandbox://session/" JOB "/a",
        "sandbox://job/" SES "/a",
        "sandbox://job/" SES "./a",
        "sandbox://job/." STP "/a",
        "sandbox://job/" SES "." SES "/a",
        "sandbox://job/" STP "." SES "/a",
        "sandbox://job/" JOB "." STP "/a",
        "sandbox://job/" SES "." STP "./a",
        "sandbox://job/" SES "." STP "." STP "/a",
        "sandbox://job/" SES "%2e" STP "/a",
        "sandbox://session/" SES "." STP "/a",
        "sandbox://artifact/" ART "." STP,
        "sandbox://job/" ART "/a",
        "sandbox://artifact/" JOB,
        "sandbox://artifact/" ART "/a",
        "sandbox://artifact/" ART "x",
        "sandbox://session/" SES "x/a",
        "sandbox://session/ses_01m7yep0vh3nhv2pk7vh28r48/a",
        "sandbox://session/SES_01M7YEP0VH3NHV2PK7VH28R48R/a",
        "sandbox://session/%73es_01m7yep0vh3nhv2pk7vh28r48r/a",
        "sandbox://session/" SES "/..",
        "sandbox://session/" SES "/../" SES "/a",
        "sandbox://session/" SES "/a/../b",
        "sandbox://session/" SES "/%2e%2e/a",
        "sandbox://session/" SES "/%2E./a",
        "sandbox://session/" SES "/.%2e",
        "sandbox://session/" SES "/./a",
        "sandbox://session/" SES "/%2e/a",
        "sandbox://session/" SES "//a",
        "sandbox://session/" SES "/a//b",
        "sandbox://session/" SES "/a/",
        "sandbox://session/" SES "/a%2fb",
        "sandbox://session/" SES "/a%2Fb",
        "sandbox://session/" SES "/..%2f..%2fetc%2fpasswd",
        "sandbox://session/" SES "/a%00b",
        "sandbox://session/" SES "/%00",
        "sandbox://session/" SES "/a%",
        "sandbox://session/" SES "/a%4",
        "sandbox://session/" SES "/a%zz",
        "sandbox://session/" SES "/a%4g",
        "sandbox://session/" SES "/%ff",
        "sandbox://session/" SES "/%c0%ae%c0%ae",
        "sandbox://session/" SES "/%ed%a0%80",
        "sandbox://session/" SES "/\xff",
        "sandbox://session/" SES "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17",
    };
    char text[2 * SANDBOX_URI_MAX];
    struct sandbox_uri uri;

    for (size_t i = 0; i < SBX_COUNT(none); i++) {
        ok(!sandbox_uri_parse(&uri, none[i]), "not %s", none[i]);
    }
    memset(text, 'a', sizeof(text));
    memcpy(text, "sandbox://session/" SES "/", strlen("sandbox://session/" SES "/"));
    text[strlen("sandbox://session/" SES "/") + 255] = '\0';
    ok(sandbox_uri_parse(&uri, text), "a component of 255 bytes");
    text[strlen(text)] = 'a';
    text[strlen("sandbox://session/" SES "/") + 256] = '\0';
    ok(!sandbox_uri_parse(&uri, text), "not of 256");
    memset(text + strlen("sandbox://session/" SES "/"), '%', SANDBOX_URI_MAX);
    text[sizeof(text) - 1] = '\0';
    ok(!sandbox_uri_parse(&uri, text), "nor one that is longer than any");
}

int
main(void)
{
    test_names();
    test_none();
    return done_testing();
}
