"""`protoserve fleet status`: the rows of `protoserve status` for every project, in one report. Changes no project."""
