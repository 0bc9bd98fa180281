/**
 * What the server sends; see views.py, pods.py and routes.py.
 *
 * @typedef {{isSynced: boolean, isCurrent: boolean, warning: string, scope: string}} Connection
 * @typedef {{level: "problem" | "notice" | "ok", message: string, fix: string, check: string}} Problem
 * @typedef {{bound: number, moved: number, ended: number}} Rates
 *
 * @typedef {object} Card
 * @property {string} namespace
 * @property {string} name
 * @property {string} state
 * @property {boolean} isReady
 * @property {string} routingState
 * @property {string} workload
 * @property {string | null} workloadState
 * @property {number | null} replicas
 * @property {number | null} desiredReplicas
 * @property {number | null} routablePods
 * @property {number} unservedLinks
 * @property {number | null} load
 * @property {number} overloaded
 * @property {number} maxLinks
 * @property {number | null} slots
 * @property {string | null} bestPod
 * @property {number} closing
 * @property {number} closingLinks
 * @property {boolean} isPaused
 *
 * @typedef {{card: Card, links: number, problems: Problem[]}} RouteItem
 *
 * @typedef {object} Overview
 * @property {string} now
 * @property {Connection} connection
 * @property {number} total
 * @property {number} matching
 * @property {number} ready
 * @property {number} withProblems
 * @property {number} links
 * @property {Rates} rates
 * @property {Problem[]} problems
 * @property {number} offset
 * @property {RouteItem[]} routes
 *
 * @typedef {object} PodView
 * @property {string} name
 * @property {number | string} key
 * @property {string} serviceState
 * @property {string} routingState
 * @property {number} links
 * @property {number} totalLinks
 * @property {number} slots
 * @property {number | null} load
 * @property {boolean} isStale
 * @property {string} reason
 * @property {string} lost
 * @property {string} revision
 * @property {{reason: string, deadline: string} | null} closing
 * @property {boolean} isHandingOver
 * @property {string} specState
 *
 * @typedef {object} LinkChange
 * @property {string} subject
 * @property {string} before
 * @property {string} after
 * @property {string} reason
 * @property {string | null} cause
 * @property {string | null} hand_over_to
 *
 * @typedef {{number: number, time: string, kind: "bound" | "moved" | "ended" | "phase" | "state", change: LinkChange}} NumberedChange
 * @typedef {{message: string, since: string}} Loss
 *
 * @typedef {object} RoutePage
 * @property {string} now
 * @property {Connection} connection
 * @property {Card} card
 * @property {{replicas: number | null, isAutoscaled: boolean, hasRollout: boolean, hasHandOver: boolean}} spec
 * @property {number} links
 * @property {number} waitingLinks
 * @property {{total: number, bound: number, notes: string[]} | null} slots
 * @property {[string, string, number][]} states
 * @property {Problem[]} problems
 * @property {Loss | null} loss
 * @property {PodView[]} pods
 * @property {number} capacity
 * @property {boolean} isLimited
 * @property {number} omittedPods
 * @property {Rates} rates
 * @property {NumberedChange[]} changes
 * @property {number} lastChange
 *
 * @typedef {object} LinkItem
 * @property {string} namespace
 * @property {string} route
 * @property {string} uid
 * @property {string} pod
 * @property {string} nextPod
 * @property {string} phase
 * @property {string} reason
 * @property {boolean} isObserved
 * @property {string | null} expires
 * @property {boolean} isUser
 *
 * @typedef {{connection: Connection, card?: undefined}} AbsentRoute
 * @typedef {{namespace: string, route: string, slot: number, pod: string}} UserSlot
 * @typedef {{total: number, links: LinkItem[], next: string, slot: UserSlot | null}} LinkPage
 * @typedef {{links: LinkItem[], slots: UserSlot[]}} FoundLinks
 * @typedef {{time: string, type: string, reason: string, note: string, count: number}} RouteEvent
 *
 * @typedef {{times: number[], links: number[], load: (number | null)[], bound: number[], moved: number[]}} History
 * @typedef {{patchRoutes: boolean, patchLinks: boolean, deleteLinks: boolean}} Rights
 * @typedef {"drain" | "shutdown" | "undrain" | "set-state" | "scale" | "pause" | "resume" | "confirm-loss" | "move" | "hand-over" | "unlink"} ActName
 *
 * @typedef {object} ActRequest
 * @property {ActName} act
 * @property {boolean} [dryRun]
 * @property {string} [pod]
 * @property {string} [uid]
 * @property {string} [onlyFrom]
 * @property {string} [state]
 * @property {number} [replicas]
 * @property {Loss} [loss]
 */

export {};
