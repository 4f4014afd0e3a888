/*
 * jansson's allocator is the process's and serves other users too: it is told of the arena once, takes from it only while a brief
 * document is read, and sees at each release by the address whose the memory is. So a value may be changed, and outlive its reading.
 */
#include "sbx_json.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define ARENA_SIZE 32768 /* a job of 10 KiB; what does not fit is the allocator's */

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED true
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define SANITIZED true
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

static struct {
    bool open;   /* a brief document is being read */
    size_t used; /* of the bytes, a multiple of the alignment */
    size_t held; /* pieces that nobody released; without one all of it is free again */
    _Alignas(max_align_t) char bytes[ARENA_SIZE];
} arena;

static void *
arena_malloc(size_t size)
{
    void *at = arena.bytes + arena.used;

    if (size == 0) {
        return NULL; /* jansson asks for no such thing */
    }
    if (!arena.open || size > sizeof(arena.bytes) - arena.used) {
        return malloc(size);
    }
    arena.used += (size + _Alignof(max_align_t) - 1) / _Alignof(max_align_t) * _Alignof(max_align_t);
    arena.held++;
    return at;
}

static void
arena_free(void *at)
{
    if ((uintptr_t)at < (uintptr_t)arena.bytes || (uintptr_t)at >= (uintptr_t)arena.bytes + sizeof(arena.bytes)) {
        free(at);
        return;
    }
    if (--arena.held == 0) {
        arena.used = 0;
    }
}

bool
sbx_json_arena_init(void)
{
    /* An arena would tell a sanitizer nothing of where a value begins and ends, and when. */
    if (SANITIZED) {
        return false;
    }
    json_set_alloc_funcs(arena_malloc, arena_free);
    return true;
}

int
sbx_json_parse_brief(json_t **ret, const char *data, size_t len, struct sbx_field_error *err)
{
    int r;

    arena.open = true;
    r = sbx_json_parse(ret, data, len, err);
    arena.open = false;
    return r;
}
