#include "chassis/answer.h"
#include "gen/duka.h"

struct answer answer_of_error(struct arena *arena, err error)
{
    ASSERT(arena && error);
    Duka__Problem problem = DUKA__PROBLEM__INIT;
    problem.code = field_of(err_word(error->code));
    problem.detail = field_of(error->detail);
    problem.subject = field_of(error->subject);
    problem.retry_after_s = error->retry_after_s;
    problem.n_errors = error->fields_count;
    problem.errors = arena_array(arena, Duka__ProblemField *, error->fields_count);
    for (size_t i = 0; i < error->fields_count; i++) {
        problem.errors[i] = arena_new(arena, Duka__ProblemField);
        *problem.errors[i] = (Duka__ProblemField)DUKA__PROBLEM_FIELD__INIT;
        problem.errors[i]->pointer = field_of(error->fields[i].pointer);
        problem.errors[i]->message = field_of(error->fields[i].message);
    }
    return (struct answer){
        .known = true, .problem = true, .status = 0, .message = message_pack(arena, &problem)
    };
}

err answer_error(struct arena *arena, const struct answer *answer)
{
    ASSERT(arena && answer && answer->problem);
    void *message;
    err unreadable = message_unpack(arena, answer->message, &duka_problem_spec, &message);
    if (unreadable != OK)
        return unreadable;
    const Duka__Problem *problem = message;
    enum err_code code = err_code_of(text_of(problem->code));
    if (code == ERR_CODES_COUNT)
        return fail(arena, PROTOBUF_MALFORMED, "a kept answer has an unknown code");
    struct err_value *error = arena_new(arena, struct err_value);
    struct err_field *fields = arena_array(arena, struct err_field, problem->n_errors);
    for (size_t i = 0; i < problem->n_errors; i++)
        fields[i] = (struct err_field){ .pointer = text_of(problem->errors[i]->pointer),
                                        .message = text_of(problem->errors[i]->message) };
    *error = (struct err_value){ .code = code,
                                 .detail = text_of(problem->detail),
                                 .fields = fields,
                                 .fields_count = problem->n_errors,
                                 .place = "kept answer",
                                 .subject = text_of(problem->subject),
                                 .retry_after_s = problem->retry_after_s };
    return error;
}

struct answer answer_copy(struct arena *arena, const struct answer *answer)
{
    struct answer copy = *answer;
    copy.message = str_copy(arena, answer->message);
    return copy;
}
