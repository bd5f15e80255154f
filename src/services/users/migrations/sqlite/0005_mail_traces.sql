-- The trace (W3C traceparent) of what a mail is sent for, so that sending it stands there, too.
alter table mail_jobs add column traceparent text;
