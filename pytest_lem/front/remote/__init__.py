"""`--lem-launch=ray`: the driver of a session, and the sessions on its nodes."""
