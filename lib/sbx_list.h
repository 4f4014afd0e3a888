/* Intrusive circular list: a head and its links are one type; an unlinked link points to itself. */
#pragma once

#include <assert.h>

#include "lib/sbx_base.h"

struct list {
    struct list *next, *prev;
};

#define list_entry(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))
/* The body may remove `it`, nothing else. */
#define list_each(it, after, head)                                                                           \
    for ((it) = (head)->next, (after) = (it)->next; (it) != (head); (it) = (after), (after) = (it)->next)

static inline void
list_init(struct list *head)
{
    head->next = head->prev = head;
}

static inline bool
list_empty(const struct list *head)
{
    return head->next == head;
}

static inline void
list_append(struct list *head, struct list *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

/* Legal for an unlinked link too. */
static inline void
list_remove(struct list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

/* The first link, taken out. */
static inline struct list *
list_pop(struct list *head)
{
    struct list *link = head->next;

    assert(link != head);
    head->next = link->next;
    link->next->prev = head;
    list_init(link);
    return link;
}
