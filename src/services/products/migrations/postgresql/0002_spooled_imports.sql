-- An import's file lies in the spool of the chassis now. What was under way ends here: its file can be sent again.
update imports set status = 'failed', message = 'the shop was upgraded meanwhile: send the file again'
where status in ('waiting', 'running');
drop table import_chunks;
