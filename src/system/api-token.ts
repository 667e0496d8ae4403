/** The file, among a system's keys, with what its API asks for. */
export const API_TOKEN = 'api-token';
