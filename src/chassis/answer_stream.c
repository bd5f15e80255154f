#include "chassis/answer_stream.h"

#include "chassis/service_inside.h"

/* An answer under way; lies in the arena of its request. */
struct streaming {
    struct answer_stream stream; /* first: the response points at it */
    struct work work;
    struct service *service;
    struct request *request;
    const struct call *call; /* that asked for it */
    struct call *job;        /* the piece in hand lies in its arena */
};

static err run_piece(void *subject, struct call *job)
{
    struct streaming *streaming = subject;
    const struct call *call = streaming->call;
    struct text out = text_init(job->arena, ANSWER_PIECE_BYTES + ANSWER_PIECE_BYTES / 4);
    bool more = false;

    TRY(call->make_piece(streaming->service->config.self, job, call->piece_state, &out, &more));
    streaming->request->response.body = text_str(&out);
    streaming->stream.ended = !more;
    return OK;
}

static err make_piece(struct streaming *streaming)
{
    service_job_reset(streaming->job);
    err error =
        service_job_run(streaming->job, streaming->call->spec->short_name, run_piece, streaming);
    call_read_end(streaming->job);
    return error;
}

/* On a worker. Too late for a status: the peer sees a body that breaks off. */
static void work_next(struct work *work)
{
    struct streaming *streaming =
        (struct streaming *)((char *)work - offsetof(struct streaming, work));
    struct request *request = streaming->request;
    err error = make_piece(streaming);

    if (error != OK) {
        streaming->stream.failed = true;
        request->response.body = STR_NONE;
        LOG(LOG_ERROR, "answer.broken_off",
            LOG_TEXT("call", str_of_z(streaming->call->spec->short_name)),
            LOG_TEXT("error", err_describe(streaming->job->arena, error)),
            LOG_TEXT("trace_id", str_of_z(request->trace_id)));
    }
    request->made(request);
}

static void next(struct request *request)
{
    struct streaming *streaming = (struct streaming *)request->response.stream;

    workers_resume(streaming->service->config.house->workers, &streaming->work);
}

static void end(struct request *request)
{
    dispatch_leave(((struct streaming *)request->response.stream)->service);
}

static void close_job(void *job) { service_job_close(job); }

err answer_stream_begin(struct service *service, struct call *call, struct request *request,
                        bool *goes_on)
{
    ASSERT(service && call && call->make_piece && call->spec->answer_type && request && goes_on);

    struct streaming *streaming = arena_new(request->arena, struct streaming);
    *streaming = (struct streaming){ .stream = { .next = next, .end = end },
                                     .work.run = work_next,
                                     .service = service,
                                     .request = request,
                                     .call = call,
                                     .job = service_job_open(service, call->spec->short_name) };
    arena_defer(request->arena, close_job, streaming->job);
    err error = make_piece(streaming);
    if (error != OK)
        return err_copy(request->arena, error);

    struct response *response = &request->response;
    response->status = call->spec->status;
    response->content_type =
        str_format(request->arena, "%s; charset=utf-8", call->spec->answer_type);
    response_add(response, STR("Cache-Control"), STR("no-store"));
    if (call->piece_file)
        response_add(response, STR("Content-Disposition"),
                     str_format(request->arena, "attachment; filename=\"%s\"", call->piece_file));
    *goes_on = !streaming->stream.ended;
    response->stream = *goes_on ? &streaming->stream : NULL;
    return OK;
}
