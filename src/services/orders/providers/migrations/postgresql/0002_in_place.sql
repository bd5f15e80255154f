-- A payment is changed once: it finds room on its page.
alter table payments set (fillfactor = 50);
