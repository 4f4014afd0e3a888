/*
 * What a decision costs by the number of entries in the lists of a document and by the number of documents, and what a
 * compiled document takes. One line a row: entries, documents, ns of a decision over a view that is there, ns of making
 * the view as well, ns of compiling one document, bytes of one compiled. Medians over batches.
 * Usage: policy [BATCHES [DECISIONS]]
 */
#include "lib/sbx_policy_doc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_LAYERS 5
#define MAX_BATCHES 101

static json_t *
parse(const struct sbx_buf *text)
{
    struct sbx_field_error err;
    json_t *json = NULL;

    if (text->failed || sbx_json_parse(&json, text->data, text->len, &err) != 0) {
        abort();
    }
    return json;
}

/* A quarter each of packages of two kinds, hosts and secrets. */
static json_t *
document(unsigned entries)
{
    struct sbx_buf text = SBX_BUF_INIT(1 << 20);
    unsigned i, each = entries / 4;
    json_t *json;

    sbx_buf_puts(&text, "{\"version\":1,\"languages\":[\"python\"],\"dependencies\":{\"pip\":[\"numpy\"");
    for (i = 1; i < each; i++) {
        sbx_buf_printf(&text, ",{\"name\":\"%c-package-%u\",\"versions\":\">=1.20,<3\"}", 'a' + (int)(i % 26),
                       i);
    }
    sbx_buf_puts(&text, "],\"npm\":[\"@scope/*\"");
    for (i = 1; i < each; i++) {
        sbx_buf_printf(&text, ",\"%c-package-%u\"", 'a' + (int)(i % 26), i);
    }
    sbx_buf_puts(&text, "]},\"egress\":[\"*.example.com:443\"");
    for (i = 1; i < each; i++) {
        sbx_buf_printf(&text, ",\"%shost-%u.%c.example.org:443\"", i % 2 == 0 ? "*." : "", i,
                       'a' + (int)(i % 26));
    }
    sbx_buf_puts(&text, "],\"secrets\":[\"TOKEN\"");
    for (i = 1; i < each; i++) {
        sbx_buf_printf(&text, ",\"SECRET_%u\"", i);
    }
    sbx_buf_puts(&text, "]}");
    json = parse(&text);
    sbx_buf_deinit(&text);
    return json;
}

/* A job of two packages of each kind, two hosts and a secret. */
static json_t *
request(void)
{
    static const char text[] =
        "{\"language\":\"python\",\"code\":\"print(1)\",\"limits\":{\"memory\":\"128Mi\"},"
        "\"dependencies\":{\"pip\":[\"numpy\",\"b-package-1==2.1\"],\"npm\":[\"@scope/"
        "x@1.0.0\",\"b-package-1\"]},"
        "\"egress\":[\"a.b.example.com:443\",\"host-1.b.example.org:443\"],\"secrets\":[\"SECRET_1\"]}";
    struct sbx_buf buf = SBX_BUF_INIT(4096);
    json_t *json;

    sbx_buf_puts(&buf, text);
    json = parse(&buf);
    sbx_buf_deinit(&buf);
    return json;
}

static double
now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int
compare(const void *a, const void *b)
{
    const double *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}

static double
median(double *value, unsigned n)
{
    qsort(value, n, sizeof(*value), compare);
    return value[n / 2];
}

static void
make_view(struct sbx_policy_view *view, const struct sbx_policy_doc *doc, unsigned layers)
{
    unsigned i;

    sbx_policy_view_init(view, doc);
    for (i = 1; i < layers; i++) {
        if (!sbx_policy_view_add(view, doc)) {
            abort();
        }
    }
}

static double
time_decisions(const struct sbx_policy_doc *doc, const struct sbx_policy_input *input, unsigned layers,
               unsigned n, bool with_view)
{
    struct sbx_policy_view view;
    struct sbx_decision decision;
    double start;
    unsigned i;

    make_view(&view, doc, layers);
    start = now_ns();
    for (i = 0; i < n; i++) {
        if (with_view) {
            make_view(&view, doc, layers);
        }
        sbx_policy_view_decide(&view, input, &decision);
        if (!decision.allowed) {
            (void)fprintf(stderr, "refused: %s\n", decision.violation[0].rule); /* then nothing matters */
            exit(EXIT_FAILURE);
        }
    }
    return (now_ns() - start) / n;
}

static void
run_row(unsigned entries, unsigned layers, unsigned batches, unsigned n)
{
    double decide[MAX_BATCHES], view[MAX_BATCHES], compile[MAX_BATCHES];
    json_t *json = document(entries), *body = request();
    struct sbx_policy_doc *doc = NULL;
    struct sbx_policy_input input;
    struct sbx_field_error err;
    unsigned i;

    for (i = 0; i < batches; i++) {
        free(doc);
        compile[i] = now_ns();
        if (sbx_policy_doc_compile(&doc, json, &err) != 0) {
            abort();
        }
        compile[i] = now_ns() - compile[i];
    }
    if (!sbx_policy_input_from_json(&input, SBX_POLICY_JOB, body, &err)) {
        abort();
    }
    for (i = 0; i < batches; i++) {
        decide[i] = time_decisions(doc, &input, layers, n, false);
        view[i] = time_decisions(doc, &input, layers, n, true);
    }
    (void)printf("entries=%u documents=%u decide_ns=%.0f with_view_ns=%.0f compile_ns=%.0f bytes=%zu\n",
                 entries, layers, median(decide, batches), median(view, batches), median(compile, batches),
                 sbx_policy_doc_size(doc)); /* main looks at stdout's state */
    free(doc);
    json_decref(json);
    json_decref(body);
}

int
main(int argc, char **argv)
{
    static const unsigned entries[] = { 10, 100, 1000, 4000 }, layers[] = { 1, MAX_LAYERS };
    unsigned batches = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 21,
             n = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 2000;
    unsigned i, k;

    if (batches == 0 || batches > MAX_BATCHES || n == 0) {
        (void)fprintf(stderr, "usage: policy [BATCHES (at most %d) [DECISIONS]]\n",
                      MAX_BATCHES); /* then ends */
        return EXIT_FAILURE;
    }
    for (k = 0; k < SBX_COUNT(layers); k++) {
        for (i = 0; i < SBX_COUNT(entries); i++) {
            run_row(entries[i], layers[k], batches, n);
        }
    }
    return fflush(stdout) != 0 || ferror(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
