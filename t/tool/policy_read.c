/* Reads one JSON document a line; for each, prints "ok" or where and why it is no policy. */
#include "lib/sbx_policy_doc.h"

#include <stdio.h>
#include <stdlib.h>

static void
read_line(const char *line, size_t len)
{
    _cleanup_(sbx_json_decrefp) json_t *document = NULL;
    struct sbx_field_error err = { .field = "" };
    struct sbx_policy_doc *doc = NULL;
    int parsed = sbx_json_parse(&document, line, len, &err), r;

    if (parsed < 0) {
        abort();
    }
    r = parsed == 0 ? sbx_policy_doc_compile(&doc, document, &err) : 0;
    if (r < 0) {
        abort();
    }
    if (parsed == 0 && r == 0) {
        (void)puts("ok"); /* main looks at stdout's state */
    } else {
        (void)printf("%s %s\n", parsed == 0 ? err.field : "(json)", err.message);
    }
    free(doc);
}

int
main(void)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len;

    while ((len = getline(&line, &size, stdin)) > 0) {
        read_line(line, (size_t)len);
    }
    free(line);
    return ferror(stdin) || ferror(stdout) || fflush(stdout) != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
