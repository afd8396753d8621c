"""The store: records of many sessions in a database; needs the extra `store`."""
