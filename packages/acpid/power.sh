#!/bin/sh
# Called when the power button is pressed: asks PID 1 for an orderly power-off.
kill -USR2 1
