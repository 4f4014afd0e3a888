/*
 * TAP for C tests: one program a file, line for line what prove expects.
 * main() ends with `return done_testing();`, which fails when a test failed
 * or when plan() promised another number.
 */
#pragma once

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    unsigned n, failed, planned;
} tap_;

#define TAP_PRINTF_(fmt, args) __attribute__((unused, format(printf, fmt, args)))

static void diag(const char *fmt, ...) TAP_PRINTF_(1, 2);
static void note(const char *fmt, ...) TAP_PRINTF_(1, 2);
static bool tap_report_(bool fine, const char *file, int line, const char *fmt, va_list args)
    TAP_PRINTF_(4, 0);
static bool tap_ok_(bool fine, const char *file, int line, const char *fmt, ...) TAP_PRINTF_(4, 5);
static bool tap_is_int_(intmax_t got, intmax_t expected, const char *file, int line, const char *fmt, ...)
    TAP_PRINTF_(5, 6);
static bool tap_is_uint_(uintmax_t got, uintmax_t expected, const char *file, int line, const char *fmt, ...)
    TAP_PRINTF_(5, 6);
static bool tap_is_str_(const char *got, const char *expected, const char *file, int line, const char *fmt,
                        ...) TAP_PRINTF_(5, 6);

static void
diag(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    fputs("# ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
}

static void
note(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    fputs("# ", stdout);
    vfprintf(stdout, fmt, args);
    fputc('\n', stdout);
    va_end(args);
}

__attribute__((unused)) static void
plan(unsigned n)
{
    tap_.planned = n;
    printf("1..%u\n", n);
}

__attribute__((unused)) static int
skip_all(const char *why)
{
    printf("1..0 # SKIP %s\n", why);
    return 0;
}

static bool
tap_report_(bool fine, const char *file, int line, const char *fmt, va_list args)
{
    tap_.n++;
    printf("%s %u - ", fine ? "ok" : "not ok", tap_.n);
    vprintf(fmt, args);
    putchar('\n');
    fflush(stdout);
    if (!fine) {
        tap_.failed++;
        diag("failed at %s line %d", file, line);
    }
    return fine;
}

static bool
tap_ok_(bool fine, const char *file, int line, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    tap_report_(fine, file, line, fmt, args);
    va_end(args);
    return fine;
}

static bool
tap_is_int_(intmax_t got, intmax_t expected, const char *file, int line, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    tap_report_(got == expected, file, line, fmt, args);
    va_end(args);
    if (got != expected) {
        diag("     got: %jd", got);
        diag("expected: %jd", expected);
    }
    return got == expected;
}

static bool
tap_is_uint_(uintmax_t got, uintmax_t expected, const char *file, int line, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    tap_report_(got == expected, file, line, fmt, args);
    va_end(args);
    if (got != expected) {
        diag("     got: %ju", got);
        diag("expected: %ju", expected);
    }
    return got == expected;
}

static bool
tap_is_str_(const char *got, const char *expected, const char *file, int line, const char *fmt, ...)
{
    bool same = got == expected || (got != NULL && expected != NULL && strcmp(got, expected) == 0);
    va_list args;

    va_start(args, fmt);
    tap_report_(same, file, line, fmt, args);
    va_end(args);
    if (!same) {
        diag("     got: %s", got != NULL ? got : "(null)");
        diag("expected: %s", expected != NULL ? expected : "(null)");
    }
    return same;
}

/* Each takes a printf format and its arguments last, and yields whether it passed. */
#define ok(condition, ...) tap_ok_((condition), __FILE__, __LINE__, __VA_ARGS__)
#define is_int(got, expected, ...)                                                                           \
    tap_is_int_((intmax_t)(got), (intmax_t)(expected), __FILE__, __LINE__, __VA_ARGS__)
#define is_uint(got, expected, ...)                                                                          \
    tap_is_uint_((uintmax_t)(got), (uintmax_t)(expected), __FILE__, __LINE__, __VA_ARGS__)
#define is_str(got, expected, ...) tap_is_str_((got), (expected), __FILE__, __LINE__, __VA_ARGS__)
#define pass(...) tap_ok_(true, __FILE__, __LINE__, __VA_ARGS__)
#define fail(...) tap_ok_(false, __FILE__, __LINE__, __VA_ARGS__)
#define BAIL_OUT(...)                                                                                        \
    do {                                                                                                     \
        printf("Bail out! " __VA_ARGS__);                                                                    \
        putchar('\n');                                                                                       \
        exit(EXIT_FAILURE);                                                                                  \
    } while (0)

__attribute__((unused)) static int
done_testing(void)
{
    if (tap_.planned == 0) {
        printf("1..%u\n", tap_.n);
    } else if (tap_.planned != tap_.n) {
        diag("planned %u tests but ran %u", tap_.planned, tap_.n);
    }
    if (tap_.failed > 0) {
        diag("%u of %u tests failed", tap_.failed, tap_.n);
    }
    return tap_.failed > 0 || tap_.n == 0 || (tap_.planned != 0 && tap_.planned != tap_.n) ? EXIT_FAILURE
                                                                                           : EXIT_SUCCESS;
}
