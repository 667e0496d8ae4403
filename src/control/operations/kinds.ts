import type { ControlParts } from '../parts.ts';
import { createBranch, deleteBranch, replaceBranch } from './branch-kinds.ts';
import {
  applyRoles,
  createEndpoint,
  deleteEndpoint,
  startEndpoint,
  stopEndpoint,
  suspendEndpoint,
} from './endpoint-kinds.ts';
import type { AnyKind } from './operation.ts';
import { createProject, deleteProject } from './project-kinds.ts';
import { completeTimeline, removeTimeline } from './timeline-kinds.ts';

/** Everything that goes beyond the database. */
export const operationKinds = (parts: ControlParts): AnyKind[] => [
  createProject(parts) as AnyKind,
  deleteProject(parts) as AnyKind,
  createBranch(parts) as AnyKind,
  replaceBranch(parts) as AnyKind,
  deleteBranch(parts) as AnyKind,
  completeTimeline(parts) as AnyKind,
  removeTimeline(parts) as AnyKind,
  startEndpoint(parts) as AnyKind,
  stopEndpoint(parts) as AnyKind,
  suspendEndpoint(parts) as AnyKind,
  createEndpoint(parts) as AnyKind,
  deleteEndpoint(parts) as AnyKind,
  applyRoles(parts) as AnyKind,
];
