/* What the two halves of sbx_context share: the members, and what each may hold. For nobody else. */
#pragma once

#include "sbx_context.h"

#pragma GCC visibility push(hidden)

#define SBX_CONTEXT_VERSION "v1."

enum sbx_context_kind {
    SBX_TEXT_NAME,
    SBX_TEXT_NAME_OR_NONE,
    SBX_TEXT_PRINTABLE,
    SBX_TEXT_ADDRESS,
    SBX_TEXT_TRACE
};

/* The members that are plain text, none with anything that JSON escapes: where they live, how long, and what they may hold. */
struct sbx_context_text {
    const char *key;
    size_t offset;
    size_t max;
    enum sbx_context_kind kind;
};

/* The members that are numbers, of 32 or 64 bits. */
struct sbx_context_number {
    const char *key;
    size_t offset;
    size_t size;
};

/* Of each, the first ones are those that many requests have in common. */
#define SBX_CONTEXT_TEXTS 11
#define SBX_CONTEXT_TEXTS_COMMON 7
#define SBX_CONTEXT_NUMBERS 23
#define SBX_CONTEXT_NUMBERS_COMMON 22
extern const struct sbx_context_text sbx_context_texts[SBX_CONTEXT_TEXTS];
extern const struct sbx_context_number sbx_context_numbers[SBX_CONTEXT_NUMBERS];

bool sbx_context_text_fits(const struct sbx_context_text *member, const char *text, size_t len);
bool sbx_context_limits_complete(const struct sbx_limits *limits);

#pragma GCC visibility pop
