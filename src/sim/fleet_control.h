/* The control listener of a fleet: what sim.h says under cox_sim_fleet_control_port. */
#ifndef COX_SIM_FLEET_CONTROL_H
#define COX_SIM_FLEET_CONTROL_H

#include "sim/sim.h"

struct MHD_Daemon;

/* `address` is a dotted IPv4 address. NULL with the reason in `err`. */
struct MHD_Daemon *cox_fleet_control_start(struct cox_sim_fleet *fleet, const char *address, unsigned port, struct cox_err *err);
unsigned cox_fleet_control_port(struct MHD_Daemon *control);
void cox_fleet_control_stop(struct MHD_Daemon *control);
/* Sets all of them or none: each is read before the first is set. */
int cox_fleet_set_faults(struct cox_sim_fleet *fleet, const char *const *specs, size_t count, struct cox_err *err);

#endif
