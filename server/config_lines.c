/* config_lines.c - see config_lines.h. Pure.
 *
 * libcyaml loads by schema, but the lines of its backtrace lag one event behind (an unknown key is reported on the line of the
 * value before it), and once a value is loaded its place is forgotten, so a value out of its bounds couldn't be pointed at. This
 * walk, with the parser that libcyaml itself uses, supplies the places. It also refuses what libcyaml lets pass in silence: a
 * second document, a NUL that cuts a value short. (Rejected: loading without libcyaml; the schema is what keeps keys, types and
 * messages together.)
 */
#include "config_lines.h"

#include <string.h>
#include <yaml.h>

/* Deeper than any schema of ours; libyaml would go on. */
#define DEPTH_MAX 8

struct level {
    bool is_list;
    bool expects_value; /* in a mapping: its key has been read */
    unsigned entries;   /* of a list */
    size_t path_bytes;  /* of the path up to and including this level */
};

struct walk {
    yaml_parser_t parser;
    struct tvs_config_lines *lines;
    trove_error *error;
    unsigned documents;
    unsigned depth;
    struct level levels[DEPTH_MAX];
    char path[TVS_CONFIG_PATH_BYTES_MAX];
};

#define FAIL_AT(walk, line, ...) fail_at((walk)->error, (line), __VA_ARGS__)

__attribute__((format(printf, 3, 4))) static trove_status fail_at(trove_error *error, unsigned line, const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return TV_FAIL(error, INVALID_ARGUMENT, "line %u: %s", line, text);
}

static unsigned line_of(const yaml_event_t *event) {
    return (unsigned)event->start_mark.line + 1;
}

static trove_status note(struct walk *walk, unsigned line) {
    unsigned first = tvs_config_line(walk->lines, walk->path);
    if (first != 0)
        return FAIL_AT(walk, line, "`%s` is given twice, first on line %u", walk->path, first);
    if (walk->lines->count == TVS_CONFIG_KEYS_MAX)
        return FAIL_AT(walk, line, "more than %d keys", TVS_CONFIG_KEYS_MAX);
    struct tvs_config_place *place = &walk->lines->places[walk->lines->count++];
    place->line = line;
    memcpy(place->path, walk->path, sizeof place->path);
    return TROVE_OK;
}

/* The path of something inside the level `at`: a key's name, or a number where `name` is NULL. */
static trove_status set_path(struct walk *walk, const struct level *at, const char *name, unsigned line) {
    char *end = walk->path + at->path_bytes;
    size_t room = sizeof walk->path - at->path_bytes;
    int written = name == NULL ? snprintf(end, room, "[%u]", at->entries)
                               : snprintf(end, room, "%s%s", at->path_bytes > 0 ? "." : "", name);
    if (written < 0 || (size_t)written >= room) {
        *end = '\0';
        return FAIL_AT(walk, line, "a key is longer than any that there is");
    }
    return note(walk, line);
}

/* A value begins: in a list that makes a place. Sets whether a scalar here is a key instead. */
static trove_status enter_node(struct walk *walk, const yaml_event_t *event, bool *is_key) {
    *is_key = false;
    if (walk->depth == 0)
        return TROVE_OK;
    struct level *level = &walk->levels[walk->depth - 1];
    if (level->is_list) {
        trove_status status = set_path(walk, level, NULL, line_of(event));
        level->entries++;
        return status;
    }
    *is_key = !level->expects_value;
    level->expects_value = !level->expects_value;
    return TROVE_OK;
}

static trove_status on_scalar(struct walk *walk, const yaml_event_t *event) {
    const char *value = (const char *)event->data.scalar.value;
    if (strlen(value) != event->data.scalar.length)
        return FAIL_AT(walk, line_of(event), "a NUL character inside a value");
    bool is_key;
    trove_status status = enter_node(walk, event, &is_key);
    if (status == TROVE_OK && is_key)
        status = set_path(walk, &walk->levels[walk->depth - 1], value, line_of(event));
    return status;
}

static trove_status on_open(struct walk *walk, const yaml_event_t *event, bool is_list) {
    bool is_key;
    trove_status status = enter_node(walk, event, &is_key);
    if (status != TROVE_OK)
        return status;
    if (is_key)
        return FAIL_AT(walk, line_of(event), "a key must be a plain word");
    if (walk->depth == DEPTH_MAX)
        return FAIL_AT(walk, line_of(event), "nested more than %d deep", DEPTH_MAX);
    walk->levels[walk->depth++] = (struct level){.is_list = is_list, .path_bytes = strlen(walk->path)};
    return TROVE_OK;
}

static trove_status on_event(struct walk *walk, const yaml_event_t *event) {
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++walk->documents > 1)
            return FAIL_AT(walk, line_of(event), "a second document begins; a config is one");
        return TROVE_OK;
    case YAML_ALIAS_EVENT:
        return FAIL_AT(walk, line_of(event), "aliases (*%.32s) aren't used here; write the value out",
                       (const char *)event->data.alias.anchor);
    case YAML_SCALAR_EVENT:
        return on_scalar(walk, event);
    case YAML_SEQUENCE_START_EVENT:
        return on_open(walk, event, true);
    case YAML_MAPPING_START_EVENT:
        return on_open(walk, event, false);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        walk->depth--;
        if (walk->depth > 0)
            walk->path[walk->levels[walk->depth - 1].path_bytes] = '\0';
        return TROVE_OK;
    default:
        return TROVE_OK;
    }
}

static trove_status parser_failed(const struct walk *walk) {
    const yaml_parser_t *parser = &walk->parser;
    if (parser->error == YAML_MEMORY_ERROR)
        return TV_FAIL(walk->error, RESOURCE_EXHAUSTED, "no memory to read the config");
    /* The reader (encoding) knows an offset only, the scanner and the parser know lines. */
    if (parser->error == YAML_READER_ERROR)
        return FAIL_AT(walk, (unsigned)parser->mark.line + 1, "%s near byte %zu", parser->problem, parser->problem_offset);
    return FAIL_AT(walk, (unsigned)parser->problem_mark.line + 1, "%s%s%s", parser->context != NULL ? parser->context : "",
                   parser->context != NULL ? ": " : "", parser->problem);
}

trove_status tvs_config_lines_read(const char *text, size_t bytes, struct tvs_config_lines *lines, trove_error *error) {
    struct walk walk = {.lines = lines, .error = error};
    lines->count = 0;
    if (!yaml_parser_initialize(&walk.parser))
        return TV_FAIL(error, RESOURCE_EXHAUSTED, "no memory to read the config");
    yaml_parser_set_input_string(&walk.parser, (const unsigned char *)text, bytes);
    trove_status status = TROVE_OK;
    for (bool ended = false; status == TROVE_OK && !ended;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&walk.parser, &event)) {
            status = parser_failed(&walk);
            break;
        }
        ended = event.type == YAML_STREAM_END_EVENT;
        status = on_event(&walk, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&walk.parser);
    return status;
}

unsigned tvs_config_line(const struct tvs_config_lines *lines, const char *path) {
    for (unsigned i = 0; i < lines->count; i++)
        if (strcmp(lines->places[i].path, path) == 0)
            return lines->places[i].line;
    return 0;
}
