-- Where an order was placed in its trace (W3C traceparent), so that what timers and lanes do for it later stands there, too.
alter table orders add column traceparent text collate "C";
