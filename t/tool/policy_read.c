/* Reads one JSON document a line; for each, prints "ok" or where and why it is no policy. */
#include "lib/sbx_policy.h"

#include <stdio.h>
#include <stdlib.h>

static void
read_line(const char *line, size_t len)
{
    _cleanup_(sbx_json_decrefp) json_t *document = NULL;
    struct sbx_field_error err = { .field = "" };
    struct sbx_policy policy;
    int r = sbx_json_parse(&document, line, len, &err);

    if (r < 0) {
        abort();
    }
    if (r == 0 && sbx_policy_from_json(&policy, document, &err)) {
        (void)puts("ok"); /* main looks at stdout's state */
    } else {
        (void)printf("%s %s\n", r == 0 ? err.field : "(json)", err.message);
    }
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
