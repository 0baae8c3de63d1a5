/* The handlers of the table in route.c, one file per group. */
#ifndef COX_API_ROUTES_H
#define COX_API_ROUTES_H

struct cox_request;

/* routes_page.c */
void cox_get_page(struct cox_request *request);
void cox_get_page_script(struct cox_request *request);
void cox_get_page_style(struct cox_request *request);
void cox_get_page_icon(struct cox_request *request);

/* routes_health.c */
void cox_get_index(struct cox_request *request);
void cox_get_livez(struct cox_request *request);
void cox_get_readyz(struct cox_request *request);

/* routes_metrics.c */
void cox_get_metrics(struct cox_request *request);
void cox_get_openapi(struct cox_request *request);

/* routes_nodes.c */
void cox_get_nodes(struct cox_request *request);
void cox_get_node(struct cox_request *request);
void cox_delete_node(struct cox_request *request);
void cox_post_enable(struct cox_request *request);
void cox_post_disable(struct cox_request *request);

/* routes_upsert.c */
void cox_post_node(struct cox_request *request);
void cox_put_node(struct cox_request *request);
void cox_post_batch(struct cox_request *request);

/* routes_commands.c */
void cox_get_commands(struct cox_request *request);
void cox_post_command(struct cox_request *request);

/* routes_config.c */
void cox_get_config(struct cox_request *request);
void cox_get_world(struct cox_request *request);

/* routes_leases.c */
void cox_post_lease(struct cox_request *request);
void cox_put_lease(struct cox_request *request);
void cox_delete_lease(struct cox_request *request);

/* routes_events.c */
void cox_get_events(struct cox_request *request);

/* routes_scripts.c */
void cox_get_scripts(struct cox_request *request);
void cox_post_reload(struct cox_request *request);
void cox_post_rollback(struct cox_request *request);
void cox_post_plan(struct cox_request *request);

/* routes_backup.c */
void cox_get_backup(struct cox_request *request);

#endif
